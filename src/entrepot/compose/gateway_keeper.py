"""Keeps the gateway processes, the sockets they listen on, and replaces them all without refusing a connection.

The sockets are the supervisor's, and gateways inherit them: one for each process on the gateway's address, among which
the kernel shares connections evenly, and one Unix socket for all of them. So a socket's queue of accepted connections
is not lost with the process that would have served it: who comes after takes them from there.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from entrepot.compose.listening import share_address, take_address, take_socket
from entrepot.compose.processes import ChildProcess, Role, Say, first_ready
from entrepot.compose.settings import Settings

READY_S_MAX = 60.0
STOP_S_MAX = 10.0

# What processes that are not replaced, clients and open sockets go by.
FIXED: Final = ("home", "gateway_address", "gateway_socket", "console_address", "admin_token", "internal_token")

MakeChild = Callable[[Role], ChildProcess]


class GatewayKeeper:
    """The gateways of one data directory. make_child starts one; on_gone: called when a replaced one has ended."""

    def __init__(self, make_child: MakeChild, on_gone: Callable[[], None], say: Say) -> None:
        self._make_child = make_child
        self._on_gone = on_gone
        self._say = say
        self._ports: list[socket.socket] = []
        self._local: socket.socket | None = None
        self._replaced: dict[ChildProcess, asyncio.Task[None]] = {}
        self.children: list[ChildProcess] = []  # Those that take new connections.

    @property
    def replaced(self) -> list[ChildProcess]:
        """Those that only end what they have."""
        return list(self._replaced)

    def take_addresses(self, settings: Settings) -> Settings:
        """The settings with the gateway's port settled; its address and its Unix socket are ours. Raises: BadInput."""
        address, taken = take_address(settings, "gateway_address")
        self._ports.append(taken)
        self._local = take_socket(settings)
        return replace(settings, gateway_address=address)

    def begin(self, settings: Settings) -> None:
        """Starts the processes."""
        self.children = self._made(settings)

    async def reload(self, settings: Settings) -> bool:
        """Starts processes with these settings and lets the running ones finish once the new ones serve.

        Returns whether they do; if not, all stays as it was.
        """
        fresh = self._made(settings)
        failed = await first_ready(fresh, READY_S_MAX)
        if failed is not None:
            words = " / ".join(failed.last_words) or "it said nothing"
            self._say(f"{failed.role.name} cannot serve with the new settings, so the old ones stay: {words}")
            await asyncio.gather(*(child.stop(STOP_S_MAX) for child in fresh))
            return False
        old, self.children = self.children, fresh
        for child in old:
            self._let_finish(child, settings.reload_drain_seconds + STOP_S_MAX)
        return True

    async def stop(self, within_s: float) -> None:
        """Takes no more connections and stops every process."""
        for taken in (*self._ports, self._local):
            if taken is not None:
                taken.close()
        await asyncio.gather(*(child.stop(within_s) for child in (*self.children, *self._replaced)))

    def _made(self, settings: Settings) -> list[ChildProcess]:
        count = settings.gateway_workers
        while len(self._ports) < count:
            self._ports.append(share_address(settings.gateway_address))
        # Fewer processes than before share the sockets that are there: closing one would drop what waits in it.
        return [
            self._make_child(self._role(f"gateway {number + 1}", settings, self._ports[number::count]))
            for number in range(count)
        ]

    def _role(self, name: str, settings: Settings, ports: list[socket.socket]) -> Role:
        assert self._local is not None
        numbers = tuple(taken.fileno() for taken in (*ports, self._local))
        return Role(
            name,
            "gateway",
            ("--sockets", ",".join(map(str, numbers))),
            environment=settings.environment(),
            descriptors=numbers,
        )

    def _let_finish(self, child: ChildProcess, within_s: float) -> None:
        finishing = asyncio.create_task(child.stop(within_s, signal.SIGQUIT))
        self._replaced[child] = finishing
        finishing.add_done_callback(lambda _: self._forget(child))

    def _forget(self, child: ChildProcess) -> None:
        del self._replaced[child]
        self._on_gone()


def reloaded(running: Settings, asked: Settings, now: Settings, say: Say) -> Settings:
    """The settings to go on with: those that are read now, but for what cannot change while the product runs.

    running: with ports settled; asked: as they were read at the start. say: told of each that would have changed.
    """
    for name in FIXED:
        if getattr(asked, name) != getattr(now, name):
            say(f"{name} has changed, which takes effect only after a restart")
    return replace(now, **{name: getattr(running, name) for name in FIXED})


def remove_socket(settings: Settings) -> None:
    """Removes the Unix socket's file, for nobody listens any more."""
    if os.path.lexists(settings.gateway_socket_file):
        settings.gateway_socket_file.unlink()
