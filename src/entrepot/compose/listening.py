"""Taking the addresses that children will listen on, before any of them is started.

What is taken is bound and never listens by itself, so that nobody else can have it while a child is restarted. A child
either binds it again, sharing the port, or inherits the socket and listens on that.
"""

import contextlib
import errno
import os
import socket
from pathlib import Path

from entrepot.compose.settings import Address, Settings
from entrepot.compose.socket_paths import short_path
from entrepot.core.errors import BadInput


def take_address(settings: Settings, name: str) -> tuple[Address, socket.socket]:
    """The address of a setting with its port settled, and the socket that keeps it ours while it is open.

    Raises: BadInput naming the setting.
    """
    address: Address = getattr(settings, name)
    try:
        # Whoever listens there already, sharing or not, shows in a bind that does not share.
        _bound(address, share=False).close()
        kept = share_address(address)
    except OSError as error:
        raise BadInput(_why(settings, name, str(address), error), param=name) from None
    return Address(address.host, kept.getsockname()[1]), kept


def share_address(address: Address) -> socket.socket:
    """One more socket of an address that is ours. Those that listen share its connections evenly. Raises: OSError."""
    return _bound(address, share=True)


def take_socket(settings: Settings) -> socket.socket:
    """The gateway's Unix socket, bound. Whoever may enter its directory may connect, as with a port of this machine.

    Raises: BadInput naming the setting.
    """
    path = settings.gateway_socket_file
    try:
        _remove_left_behind(path)
        taken = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            taken.bind(os.fspath(short_path(path)))
            path.chmod(0o666)  # Requests are known by their keys; the data directory is its owner's alone.
        except BaseException:
            taken.close()
            raise
    except OSError as error:
        raise BadInput(_why(settings, "gateway_socket", str(path), error), param="gateway_socket") from None
    return taken


def _remove_left_behind(path: Path) -> None:
    """Removes a socket on which nobody listens any more. Raises: OSError when somebody does, or it is no socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(short_path(path)))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if path.is_socket():
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


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


def _why(settings: Settings, name: str, shown: str, error: OSError) -> str:
    source = settings.sources[name]
    told = f"{name}, from {source}" if source != "default" else f"the default of {name}"
    variable = f"ENTREPOT_{name.upper()}"
    place = "a free one" if name == "gateway_socket" else "a free address"
    if error.errno == errno.EADDRINUSE:
        return f"{shown} ({told}) is in use by another program; end that one or set {variable} to {place}"
    place = "a path whose directory exists" if name == "gateway_socket" else "an address of this machine"
    return f"{shown} ({told}) cannot be listened on: {error.strerror or error}; set {variable} to {place}"
