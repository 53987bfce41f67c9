"""An HTTP application as a child process serves it: says when it is ready, and stops when told."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from entrepot.compose.processes import say_ready


class HttpProcess(uvicorn.Server):
    """uvicorn, leaving the signals to us. on_ready: called once it serves. end: begins to stop."""

    on_ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """Begins to stop; open answers get the time they were promised."""
        self.should_exit = True


def http_process(
    app: Starlette, *, drain_s: int, keep_alive_s: int = 5, unix_socket: Path | None = None
) -> HttpProcess:
    """A server of the application that SIGTERM and SIGINT end; call its serve() in a running event loop."""
    config = uvicorn.Config(
        app,
        uds=None if unix_socket is None else str(unix_socket),
        log_config=None,
        access_log=False,
        lifespan="off",
        http="httptools",
        ws="none",
        server_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=drain_s,
    )
    server = HttpProcess(config)
    server.on_ready = say_ready
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, server.end)
    return server
