"""TLS towards clients: the certificate a gateway shows, followed as its files change."""

import ssl

from entrepot.compose.settings import Settings
from entrepot.core.errors import BadInput

_Seen = tuple[tuple[int, int, int], ...]


class ServerTls:
    """A server's context with the certificate as its files say now. context: for every listener of the process."""

    def __init__(self, settings: Settings) -> None:
        """Raises: BadInput naming the setting that is at fault."""
        certificate, key = settings.gateway_certificate, settings.gateway_certificate_key
        if certificate is None or key is None:
            raise BadInput(
                "gateway_certificate and gateway_certificate_key go together; set both, or neither",
                param="gateway_certificate",
            )
        self._certificate = certificate
        self._key = key
        self._client_ca = settings.gateway_client_ca
        self._seen = self._look_at_files()
        self.context = self._newest = self._made()
        self.context.sni_callback = self._show_newest

    def follow(self) -> str | None:
        """Takes up a new certificate if its files are others than last time; what is wrong with it, if it cannot."""
        seen = self._look_at_files()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            self._newest = self._made()
        except BadInput as error:
            return error.message
        return None

    def _show_newest(self, connection: ssl.SSLObject, name: str | None, first: ssl.SSLContext) -> None:
        """Called for each handshake, with a server name or without: a listener cannot be given another context."""
        del name, first
        connection.context = self._newest

    def _look_at_files(self) -> _Seen:
        found = []
        for path in (self._certificate, self._key):
            try:
                status = path.stat()
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
            except OSError:  # Said when it is loaded; while files are replaced one may be missing.
                found.append((0, 0, 0))
        return tuple(found)

    def _made(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self._load_certificate(context)
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except OSError as error:
                raise BadInput(
                    f"gateway_client_ca {self._client_ca} cannot be used: {_reason(error)}", param="gateway_client_ca"
                ) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._certificate, self._key, password="")
        except OSError as error:
            raise BadInput(
                f"gateway_certificate {self._certificate} with gateway_certificate_key {self._key} cannot be used: "
                f"{_reason(error)}; both are PEM files, the key is the certificate's and not encrypted",
                param="gateway_certificate",
            ) from None


def server_tls(settings: Settings) -> ServerTls | None:
    """TLS as the settings ask for it; None when they ask for none. Raises: BadInput."""
    if settings.gateway_certificate is None and settings.gateway_certificate_key is None:
        if settings.gateway_client_ca is not None:
            raise BadInput("gateway_client_ca needs gateway_certificate as well", param="gateway_client_ca")
        return None
    return ServerTls(settings)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return error.strerror or str(error)
