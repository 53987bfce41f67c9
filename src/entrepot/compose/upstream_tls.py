"""TLS towards upstreams: whom a gateway trusts."""

import ssl

from entrepot.compose.settings import Settings
from entrepot.core.errors import BadInput


def upstream_tls(settings: Settings) -> ssl.SSLContext:
    """Trusts the system's authorities and those of upstream_ca; host names are checked. Raises: BadInput."""
    context = ssl.create_default_context()
    if settings.upstream_ca is not None:
        try:
            context.load_verify_locations(settings.upstream_ca)
        except OSError as error:
            said = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise BadInput(
                f"upstream_ca {settings.upstream_ca} cannot be used: {said}; it is a PEM file", param="upstream_ca"
            ) from None
    return context
