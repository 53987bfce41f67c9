"""A usage log on disk for benchmarks: the product's own writer and reader, without what was folded already."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.local_disk import LocalDisk
from entrepot.core.log_records import LogRecord
from entrepot.core.segments import segment_name
from entrepot.ports.event_log import Position

_SEGMENT_BYTES = 32 * 2**20


class SegmentLog:
    """Meets the port LogReader; what is put into it can be read at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = DiskEventLog(LocalDisk(directory), segment_bytes=_SEGMENT_BYTES)
        self._reader = DiskLogReader(LocalDisk(directory))
        self._kept = 1

    def put(self, records: Sequence[LogRecord]) -> None:
        """Appends records as one group."""
        self._log.append(records)

    def put_frames(self, frames: Sequence[bytes]) -> None:
        """Appends encoded records as one group."""
        self._log.commit(frames, len(frames))

    def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
        """See ports.event_log."""
        return self._reader.read(after, limit)

    def forget(self, before: Position) -> None:
        """Removes the segments that end before the position: the disk has room for a part of the month."""
        for number in range(self._kept, before.segment):
            (self._directory / segment_name(number)).unlink()
        self._kept = max(self._kept, before.segment)

    def close(self) -> None:
        """Lets go of the log."""
        self._log.close()
