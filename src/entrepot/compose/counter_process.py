"""The process that keeps the counters of limits for all gateways of a machine, with a Unix socket in front.

    python -m entrepot.compose.counter_process --home DIR

Prints one line, `{"ready":true,"socket":…,"pid":…}`, once it serves. Its counters are in memory: gateways tell what
they know when they connect to the next one (core.shared_counters). SIGTERM and SIGINT end it with 0, and so does a
clock that is set back: the next one begins with the time as it is. It ends with 1 and one line on stderr when another
one serves already.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import socket
import sys
from pathlib import Path

import uvloop

from entrepot.adapters.clocks import SystemClock
from entrepot.compose.processes import say_ready
from entrepot.compose.set_clocks import SetBack
from entrepot.compose.settings import load_settings
from entrepot.compose.socket_paths import short_path
from entrepot.core.errors import EntrepotError, StartFailed
from entrepot.core.shared_counters import SharedCounters
from entrepot.edge.counter_api import CounterConnection

_EPOCH_BYTES = 8
_LOOK_S = 0.25
_LOOKS_PER_SWEEP = 240

_log = logging.getLogger("entrepot.counters")


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="entrepot.compose.counter_process", description="Keeps a machine's counters.")
    parser.add_argument("--home", type=Path, required=True, help="data directory")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    path = load_settings({}, {"home": str(given.home)}).counter_socket
    try:
        uvloop.run(serve(path))
        path.unlink(missing_ok=True)
    except EntrepotError as error:
        print(f"entrepot counters: {error.message}", file=sys.stderr)
        return 1
    return 0


async def serve(path: Path) -> None:
    """Serves until told to stop. Raises: StartFailed."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    counters, clock = SharedCounters(secrets.token_hex(_EPOCH_BYTES)), SystemClock()
    listening = _listening(path)
    server = await loop.create_unix_server(lambda: CounterConnection(counters, clock), sock=listening)
    gc.collect()
    gc.freeze()
    say_ready(socket=str(path))
    set_back, looks = SetBack(clock), 0
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _LOOK_S)
        looks += 1
        if looks % _LOOKS_PER_SWEEP == 0:
            counters.sweep(clock.now())
        if set_back.look():
            _log.warning("clock_set_back; other counters begin, with what gateways know of these")
            break
    server.close()


def _listening(path: Path) -> socket.socket:
    """A socket at the path. Raises: StartFailed when somebody serves there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(short_path(path)))
        except OSError:
            path.unlink(missing_ok=True)  # Left by a process that died.
        else:
            raise StartFailed(
                f"counters are kept at {path} already; end that process, or choose another data directory"
            )
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(short_path(path)))
    path.chmod(0o600)
    return listening


if __name__ == "__main__":
    sys.exit(main())
