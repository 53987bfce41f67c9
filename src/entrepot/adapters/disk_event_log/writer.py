"""The one writer of the usage log.

Each group is one write and one fdatasync; only then is the durable length published, and only then is anybody told.
After any failure the segment is left for ever: the next one's header says how much of it counts, which is exactly what
was acknowledged. Opening a log begins a new segment too, so there is one way to go on and it is used every day.

Zeros are written ahead of the groups, so that nearly every group overwrites: the disk then has no new length to write
down, which saves a third to a half of a flush. A segment that is left or sealed is cut to what it holds.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Sequence
from time import perf_counter_ns

from entrepot.adapters.disk_event_log.files import DURABLE
from entrepot.adapters.disk_event_log.recovery import TornEnd, recover
from entrepot.core.errors import UsageLogUnavailable
from entrepot.core.log_counters import LogCounters
from entrepot.core.log_records import LogRecord, encode_record
from entrepot.core.segments import (
    HEADER_BYTES,
    SegmentHeader,
    encode_durable,
    encode_header,
    frame,
    group_head,
    seal_frame,
    segment_name,
)
from entrepot.ports.disk import Disk, DiskFile, write_all

SEGMENT_BYTES = 256 * 2**20
AHEAD_BYTES_MAX = (
    2**20
)  # As much again as a segment holds, up to this: short ones stay short, and this is a slow flush.
ROOM_BYTES_MIN = 16 * 2**20  # A segment is begun only where it is worth it, so that a nearly full disk does not flap.
RETRY_AFTER_S = 1


class DiskEventLog:
    """Appends to the log, for one caller at a time. Takes the lock when made and gives it back at close.

    torn: what was cut off the last writer's segment, or None. Meets the ports EventLog and GroupLog.
    Raises: UsageLogUnavailable when another process holds the log or the disk cannot be read, LogDamaged.
    """

    def __init__(self, disk: Disk, *, segment_bytes: int = SEGMENT_BYTES, room_bytes_min: int = ROOM_BYTES_MIN) -> None:
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._room_bytes_min = room_bytes_min
        self._file: DiskFile | None = None
        self._durable: DiskFile | None = None
        self.counters = LogCounters()
        disk.lock()
        try:
            self._number, self._length, self._sealed, self.torn = self._recover()
        except BaseException:
            disk.unlock()
            raise
        self._hash = hashlib.sha256()
        self._made = 0  # The file's length: up to here bytes are overwritten.

    def append(self, records: Sequence[LogRecord]) -> None:
        if records:
            self.commit([frame(encode_record(record)) for record in records], len(records))

    def commit(self, frames: Sequence[bytes | memoryview], records: int) -> None:
        began = perf_counter_ns()
        if self._length >= self._segment_bytes:
            self._seal()
        self.reopen()
        assert self._file is not None
        group = b"".join((group_head(self._length), *frames))
        length = self._length + len(group)
        made = self._made if length <= self._made else self._made_with(length)
        try:
            write_all(
                self._file, self._length, group if made == self._made else group.ljust(made - self._length, b"\0")
            )
            self._file.sync()
        except BaseException as error:
            self._abandon()
            if isinstance(error, OSError):
                raise self._unavailable("write the usage log", error) from error
            raise
        self._hash.update(group)
        self._length = length
        self._made = made
        try:
            self._publish(self._number, length)
        except OSError:  # The group is durable all the same; but go on only once readers can be told so.
            self.counters.failures += 1
            self._leave(self._file)
        self.counters.add(records, len(group), (perf_counter_ns() - began) // 1000)

    def reopen(self) -> None:
        if self._file is not None:
            return
        try:
            self._begin_segment()
        except OSError as error:
            self.counters.failures += 1
            raise self._unavailable("begin a segment of the usage log", error) from error

    def close(self) -> None:
        """Seals the segment and gives the log back; after it the log can be opened again, here or elsewhere."""
        if self._file is not None:
            self._seal()
        if self._durable is not None:
            self._durable.close()
            self._durable = None
        self._disk.unlock()

    def _recover(self) -> tuple[int, int, bytes, TornEnd | None]:
        try:
            found = recover(self._disk)
            if found.number:
                self._publish(found.number, found.length)
        except OSError as error:
            raise self._unavailable("read the end of the usage log", error) from error
        return found

    def _begin_segment(self) -> None:
        """Makes the next segment, whose header says what counts of the last one. Raises: OSError, changing nothing."""
        if self._disk.bytes_free() < self._room_bytes_min:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        number = self._number + 1
        header = encode_header(SegmentHeader(number=number, previous_length=self._length, previous_seal=self._sealed))
        begun = f"{number:08d}.new"
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(begun)
        file = self._disk.create(begun)
        try:
            write_all(file, 0, header)
            file.sync()
            self._disk.rename(begun, segment_name(number))
            self._disk.sync_names()
            self._publish(number, HEADER_BYTES)
        except OSError:
            file.close()
            raise
        self._file, self._number, self._hash = file, number, hashlib.sha256(header)
        self._length = self._made = HEADER_BYTES

    def _made_with(self, length: int) -> int:
        """How long the file shall be once it holds this much, zeros made ahead included."""
        return max(length, min(self._segment_bytes, length + min(length, AHEAD_BYTES_MAX)))

    def _publish(self, segment: int, length: int) -> None:
        """Tells readers how far the log is durable. Not synced: after a power cut it may lag, never lead."""
        if self._durable is None:
            self._durable = self._disk.open(DURABLE)
        write_all(self._durable, 0, encode_durable(segment, length))

    def _seal(self) -> None:
        """Ends the segment. A seal that cannot be written is no loss: the successor's header says the same."""
        file = self._file
        if file is None:
            return
        seal = seal_frame(self._length, self._hash.digest())
        with contextlib.suppress(OSError):
            write_all(file, self._length, seal)
            file.truncate(self._length + len(seal))
            file.sync()
        self._leave(file)

    def _abandon(self) -> None:
        """Leaves the segment at its last acknowledged byte.

        The cut is for whoever opens the log if this process dies before a successor exists. Should it fail too, records
        that were refused may be found there and count: the same as an answer lost on the way, and as harmless.
        """
        self.counters.failures += 1
        assert self._file is not None
        with contextlib.suppress(OSError):
            self._file.truncate(self._length)
        self._leave(self._file)

    def _leave(self, file: DiskFile) -> None:
        self._file = None
        self._sealed = self._hash.digest()
        with contextlib.suppress(OSError):  # What counts of it is known, and a failed close changes nothing of that.
            file.close()

    def _unavailable(self, act: str, error: OSError) -> UsageLogUnavailable:
        reason = error.strerror or str(error)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            reason = f"{reason}; free at least {self._room_bytes_min // 2**20} MiB and it goes on by itself"
        return UsageLogUnavailable(f"cannot {act}: {reason}", retry_after_s=RETRY_AFTER_S)
