"""The log process: the only writer of the usage log, with a Unix socket in front.

    python -m entrepot.compose.log_process --home DIR

Prints one line, `{"ready":true,"socket":…,"pid":…}`, once it serves. SIGTERM and SIGINT: what has arrived is
made durable and acknowledged, then it ends with 0. It ends with 1 and one line on stderr when the log is held by
another process or is damaged.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import sys
from pathlib import Path

import uvloop

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.disk_event_log.writer import SEGMENT_BYTES, DiskEventLog
from entrepot.adapters.kept_frames import LeftFrames
from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.metric_files import MetricFiles
from entrepot.compose.processes import say_ready
from entrepot.compose.socket_paths import short_path
from entrepot.compose.usage_log import log_settings
from entrepot.core.errors import EntrepotError
from entrepot.core.log_counters import LogCounters
from entrepot.edge.log_api import LogServer

_TELL_S = 1.0
_NAME_BITS = 32
_events = logging.getLogger("entrepot.log")


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="entrepot.compose.log_process", description="The only writer of the usage log."
    )
    parser.add_argument("--home", type=Path, required=True, help="data directory")
    parser.add_argument("--segment-bytes", type=int, default=SEGMENT_BYTES, help="size at which a segment is sealed")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        uvloop.run(serve(given.home, given.segment_bytes))
    except EntrepotError as error:
        print(f"entrepot log: {error.message}", file=sys.stderr)
        return 1
    return 0


async def serve(home: Path, segment_bytes: int) -> None:
    """Serves until told to stop. Raises: UsageLogUnavailable, LogDamaged, or what nobody foresaw."""
    settings = log_settings(home)
    disk = LocalDisk(settings.log_directory)
    log = DiskEventLog(disk, segment_bytes=segment_bytes)
    _report(log)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = LogServer(log, InstanceFile(disk), LeftFrames(settings.run_directory), SystemClock())
    await server.start(_free_path(settings.log_socket))
    telling = asyncio.ensure_future(_tell(log.counters, settings.metrics_directory))
    settings.log_socket.chmod(0o600)
    gc.collect()
    gc.freeze()  # Records leave no circles behind, and what is there now stays.
    say_ready(socket=str(settings.log_socket))
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((stop, server.commit.broken), return_when=asyncio.FIRST_COMPLETED)
    if server.commit.broken.done():
        await server.commit.broken
    settings.log_socket.unlink(missing_ok=True)
    await server.stop()
    telling.cancel()


async def _tell(counters: LogCounters, directory: Path) -> None:
    """Puts what is counted where any gateway's /metrics finds it. A log that cannot do so is a log all the same."""
    try:
        board = MetricFiles(directory, f"log-{secrets.randbits(_NAME_BITS):08x}")
    except OSError as error:
        _events.error("log_metrics_unavailable reason=%s", error)
        return
    told = None
    while True:
        now = (counters.groups[-1], counters.failures)
        if now != told:
            with contextlib.suppress(OSError):  # A full disk is told of by the log's own refusals.
                board.publish(counters.report())
                told = now
        await asyncio.sleep(_TELL_S)


def _free_path(path: Path) -> str:
    """The socket's path, free to bind: we hold the log's lock, so whatever is there was left by a process that died."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return str(short_path(path))


def _report(log: DiskEventLog) -> None:
    if log.torn is not None:
        _events.warning("usage_log_torn_end_cut segment=%s offset=%s bytes=%s saved=%s", *log.torn)


if __name__ == "__main__":
    sys.exit(main())
