"""Taking the addresses that children will listen on, before any of them is started."""

import errno
import socket

from entrepot.compose.settings import Address, Settings
from entrepot.core.errors import BadInput


def take_address(settings: Settings, name: str) -> tuple[Address, socket.socket]:
    """The address of a setting with its port settled, and the socket that keeps it ours while it is open.

    The socket is bound and never listens, so that connections reach the children and nobody but them can take the
    address while one of them is restarted. Raises: BadInput naming the setting.
    """
    address: Address = getattr(settings, name)
    try:
        # Whoever listens there already, sharing or not, shows in a bind that does not share.
        _bound(address, share=False).close()
        kept = _bound(address, share=True)
    except OSError as error:
        raise BadInput(_why(settings, name, address, error), param=name) from None
    return Address(address.host, kept.getsockname()[1]), kept


def _bound(address: Address, *, share: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(address)
    except BaseException:
        taken.close()
        raise
    return taken


def _why(settings: Settings, name: str, address: Address, error: OSError) -> str:
    source = settings.sources[name]
    told = f"{name}, from {source}" if source != "default" else f"the default of {name}"
    variable = f"ENTREPOT_{name.upper()}"
    if error.errno == errno.EADDRINUSE:
        return f"{address} ({told}) is in use by another program; end that one or set {variable} to a free address"
    return f"{address} ({told}) cannot be listened on: {error.strerror}; set {variable} to an address of this machine"
