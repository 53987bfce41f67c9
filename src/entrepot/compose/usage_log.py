"""The usage log as the other processes and the commands get it: to append, to read, to check."""

import asyncio
from pathlib import Path
from typing import Protocol

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.kept_frames import KeptFrames, LeftFrames
from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.log_client import SocketEventLog
from entrepot.adapters.usage_sink import Callback, SocketUsageSink
from entrepot.adapters.usage_sink import connect_usage_sink as _connect
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.socket_paths import short_path
from entrepot.core.errors import UsageLogUnavailable
from entrepot.ports.event_log import CheckedLog, EventLog

PATIENCE_S = 5.0  # A log process that was killed is back in a second or two.
_RETRY_S = 0.05


class ClosableEventLog(EventLog, Protocol):
    """A log to append to, and to let go of."""

    def close(self) -> None:
        """Lets go of the log or of the connection to it."""
        ...


def log_settings(home: Path) -> Settings:
    """The settings that say where a home's log and its socket are."""
    return load_settings({}, {"home": str(home)})


def open_event_log(home: Path) -> ClosableEventLog:
    """The log of a home: through its log process if one runs, else directly, keeping one from starting until closed.

    Raises: UsageLogUnavailable naming who writes the log, when it is neither answering nor free; LogDamaged.
    """
    settings = log_settings(home)
    if settings.log_socket.exists():
        try:
            return SocketEventLog(short_path(settings.log_socket))
        except UsageLogUnavailable:  # Left behind by a process that was killed, or it is starting just now.
            pass
    return DiskEventLog(LocalDisk(settings.log_directory))


def open_log_reader(home: Path) -> DiskLogReader:
    """Reads and checks the log of a home, whoever writes it."""
    return DiskLogReader(LocalDisk(log_settings(home).log_directory))


def counted_segments(log: CheckedLog) -> str:
    """How many segments the log has, in words."""
    return "1 segment" if log.segments == 1 else f"{log.segments} segments"


async def connect_usage_sink(
    home: Path, instance: str, on_lost: Callback, patience_s: float = PATIENCE_S, *, kept_is_safe: bool = False
) -> SocketUsageSink:
    """A gateway's way into the log of a home, welcomed by its log process, which may just be starting again.

    kept_is_safe: see adapters.usage_sink. Raises: UsageLogUnavailable when there is none after patience_s.
    """
    settings = log_settings(home)
    try:
        kept = KeptFrames(settings.run_directory, instance)
    except OSError as error:
        raise UsageLogUnavailable(f"{settings.run_directory}: {error.strerror or error}; make room there") from error
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    path = short_path(settings.log_socket)
    while True:
        try:
            return await _connect(str(path), instance, on_lost, kept, kept_is_safe=kept_is_safe)
        except UsageLogUnavailable:
            if loop.time() >= until:
                kept.close()
                LeftFrames(settings.run_directory).remove(instance)
                raise
            await asyncio.sleep(_RETRY_S)
