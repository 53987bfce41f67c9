"""The jobs process: files and batches of projects, behind the gateways, on a socket of this machine.

    python -m entrepot.compose.jobs

Prints `{"ready":true,"pid":…}` once it serves. SIGTERM and SIGINT: requests of batches that are under way end and are
kept, no others are sent; what is left of a batch goes on at the next start, as it does after a crash.
"""

import asyncio
import logging
import os
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress

import aiohttp
import uvloop

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.gateway_requests import GatewayRequests
from entrepot.adapters.job_store import SqliteJobStore
from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.compose.batch_runner import BatchRunner
from entrepot.compose.home import make_home
from entrepot.compose.http_process import HttpProcess, http_process
from entrepot.compose.processes import say_ready
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.socket_paths import short_path
from entrepot.compose.tokens import internal_token
from entrepot.core.errors import EntrepotError
from entrepot.core.jobs import COMPLETION_WINDOW_S
from entrepot.edge.jobs_api import jobs_app
from entrepot.flows.run_batches import Desk

_BUSY_S = 1


def main(_: Sequence[str] = ()) -> int:
    """The exit status: 0 when told to stop, 1 with a line on stderr otherwise."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        uvloop.run(_serve(load_settings(os.environ)))
    except EntrepotError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    token = internal_token(settings)
    # How long an answer may take the gateway knows; one given up here would be asked for again, and be usage twice.
    timeout = aiohttp.ClientTimeout(total=COMPLETION_WINDOW_S, sock_connect=5)
    make_home(settings, settings.jobs_file)
    with closing(SqliteJobStore(settings.jobs_file)) as store:
        desk = Desk(store, FileSnapshots(settings.snapshot_file), SystemClock(), _Minted())
        to_gateway = aiohttp.UnixConnector(str(short_path(settings.gateway_socket_file)))
        async with aiohttp.ClientSession(timeout=timeout, connector=to_gateway) as session:
            requests = GatewayRequests(session, "http://gateway", token)
            runner = BatchRunner(desk, requests)
            server = _server(settings, desk, token, runner)
            running = asyncio.create_task(runner.run())
            running.add_done_callback(lambda _: server.end())
            await server.serve()
            settings.jobs_socket.unlink(missing_ok=True)
            requests.close()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


class _Minted:
    """Ids that cannot be guessed, each greater than the one before, so that equal times keep their order."""

    def __init__(self) -> None:
        self._last_ms = 0

    def __call__(self, prefix: str) -> str:
        self._last_ms = max(self._last_ms + 1, time.time_ns() // 1_000_000)
        return f"{prefix}{self._last_ms:012x}{secrets.token_hex(12)}"


def _server(settings: Settings, desk: Desk, token: str, runner: BatchRunner) -> HttpProcess:
    """Serves on a socket that is its owner's only."""
    settings.run_directory.mkdir(mode=0o700, exist_ok=True)
    path = short_path(settings.jobs_socket)
    server = http_process(jobs_app(desk, token, runner.wake), drain_s=_BUSY_S, unix_socket=path)

    def serving() -> None:
        settings.jobs_socket.chmod(0o600)
        say_ready()

    server.on_ready = serving
    return server


if __name__ == "__main__":
    sys.exit(main())
