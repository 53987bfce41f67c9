"""What a gateway process listens on, and how it lets its connections go."""

import asyncio
import logging
import resource
import socket
import sys
from collections.abc import Sequence
from typing import Any, cast

from entrepot.compose.server_tls import ServerTls
from entrepot.compose.settings import Address
from entrepot.core.errors import StartFailed
from entrepot.edge.client_connection import ClientConnection
from entrepot.edge.inference_api import InferenceApi

_BACKLOG = 4096
_OWN_FILES = 64  # Sockets, logs and metrics of a gateway that serves nobody, with as many again to spare.
_UPSTREAM_FILES_MAX = 8192  # More answers at once than one process, which has one core, can give in good time.
_CONNECTIONS_MIN = 16
_log = logging.getLogger("entrepot.gateway")


class Doors:
    """All listeners of one process. address: of the first that is no Unix socket."""

    def __init__(self, api: InferenceApi, tls: ServerTls | None) -> None:
        self.address = Address("", 0)
        self._api = api
        self._tls = tls
        self._servers: list[asyncio.Server] = []
        self._empty: list[asyncio.Task[None]] = []
        self._most = _connections_max()
        self._is_full = False

    async def open(self, address: Address, inherited: Sequence[socket.socket]) -> None:
        """Listens on the sockets that were inherited, else on the address, shared with whoever else does.

        Raises: StartFailed.
        """
        try:
            if inherited:
                for one in inherited:
                    await self._listen_on(one)
            else:
                await self._listen(address, *address, reuse_port=True)
        except OSError as error:
            message = f"cannot listen on {address}: {error.strerror or error}; choose another address"
            raise StartFailed(message) from None
        # A server tells that all of its connections have ended only to those who waited before it was closed.
        self._empty = [asyncio.create_task(server.wait_closed()) for server in self._servers]

    def close(self) -> None:
        """Takes no more connections; those that are there go on."""
        for server in self._servers:
            server.close()

    @property
    def is_empty(self) -> bool:
        """Whether all connections have ended, those included that are still at their handshake."""
        return all(task.done() for task in self._empty)

    async def _listen_on(self, one: socket.socket) -> None:
        if one.family == socket.AF_UNIX:
            loop = asyncio.get_running_loop()  # Without TLS: it is for this machine.
            self._servers.append(await loop.create_unix_server(self._met, sock=one, backlog=_BACKLOG))
        else:
            await self._listen(Address(*one.getsockname()[:2]), sock=one)

    async def _listen(self, address: Address, *where: Any, **how: Any) -> None:
        if self._tls is not None:
            limits = self._api.limits
            how |= {
                "ssl": self._tls.context,
                "ssl_handshake_timeout": limits.head_s,
                "ssl_shutdown_timeout": limits.linger_s,
            }
        server = await asyncio.get_running_loop().create_server(self._met, *where, backlog=_BACKLOG, **how)
        self._servers.append(server)
        if not self.address.port:
            self.address = Address(address.host, server.sockets[0].getsockname()[1])

    def _met(self) -> asyncio.Protocol:
        count = len(self._api.connections)
        if count >= self._most:
            if not self._is_full:
                self._is_full = True
                _log.warning(
                    "connections_full open=%s; more are closed as they come, until some have ended: let a process open "
                    "more files (ulimit -Hn), or serve with more gateways (ENTREPOT_GATEWAY_WORKERS)",
                    count,
                )
            return _TurnedAway()
        if self._is_full and count < self._most // 8 * 7:  # Else it would be said again with each that ends and comes.
            self._is_full = False
        return cast(asyncio.Protocol, ClientConnection(self._api))  # one by its methods, which is what loops look at


class _TurnedAway(asyncio.Protocol):
    """A connection for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


def _connections_max() -> int:
    """How many clients this process may hold: one that waits for an answer needs a connection to an upstream, too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return sys.maxsize
    left = files - _OWN_FILES
    return max(left - min(left // 2, _UPSTREAM_FILES_MAX), _CONNECTIONS_MIN)


async def first_of(*events: asyncio.Event) -> None:
    """Returns when one of the events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
