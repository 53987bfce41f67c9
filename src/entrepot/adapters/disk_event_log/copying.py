"""Copying what is durable of a log while its writer appends: into a backup, and out of one.

A copy is a first part of the log, byte for byte, and grows at its end only. Its files may be longer than what counts of
them; how far it goes is in the prefix that each run returns, kept elsewhere. Every frame is checked on the way, and
every segment against its successor's header. What the copy has of its last segment is read from the log again before
anything is written: only the log that was copied has these bytes, since each header vouches for all before it.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from entrepot.adapters.disk_event_log.files import Durable, read_header
from entrepot.core.errors import BadInput, LogDamaged, UsageLogUnavailable
from entrepot.core.segments import HEADER_BYTES, segment_name, segment_numbers, split_frames
from entrepot.ports.disk import Disk, write_all
from entrepot.ports.event_log import CheckedLog, LogPrefix

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK_BYTES = 4 * 2**20


def copy_log(
    source: Disk, target: Disk, copied: LogPrefix, until: Durable, report: Callable[[int], object] = lambda _: None
) -> LogPrefix:
    """What the target has of the log now: all up to `until`, durable. copied: what it had, whatever else is there.

    report: told how many bytes there are so far. Raises: BadInput when the copy is damaged or not of this log,
    UsageLogUnavailable when `until` is behind the copy of this same log, LogDamaged, OSError; what was copied counts as
    before.
    """
    held = copied.holds
    digest = _same_log(source, target, copied, until) if held.segments else hashlib.sha256()
    seal, records, size = bytes.fromhex(held.seal), held.records, held.size_bytes
    for number in range(max(1, held.segments), until.segment + 1):
        begin, end = (copied.length if number == held.segments else 0), _end(source, number, until)
        if not begin:
            _check_seal(source, number, seal)
            digest = hashlib.sha256()
        file = target.open(segment_name(number))
        try:
            for offset, content, count in _proven(source, number, begin, end):
                write_all(file, offset, content)
                digest.update(content)
                records, size = records + count, size + len(content)
                report(size)
            file.truncate(end)
            file.sync()
        finally:
            file.close()
        seal = digest.digest()
    target.sync_names()
    return LogPrefix(CheckedLog(until.segment, records, size, seal.hex()), until.length)


def _same_log(source: Disk, target: Disk, copied: LogPrefix, until: Durable) -> "_Hash":
    """The digest of what is copied of the copy's last segment. Raises: BadInput, UsageLogUnavailable, LogDamaged."""
    last, length = copied.holds.segments, copied.length
    missing = sorted(set(range(1, last + 1)) - set(segment_numbers(target.names())))
    if missing:
        raise BadInput(f"the copy of {segment_name(missing[0])} is missing")
    if target.length(segment_name(last)) < length:
        raise BadInput(f"the copy of {segment_name(last)} ends before offset {length}")
    is_known = (last, length) <= until
    if (is_known and length <= _end(source, last, until)) or (not is_known and _has(source, last, length)):
        digest = hashlib.sha256()
        for _, content in _chunks(source, last, 0, length):
            digest.update(content)
        if digest.hexdigest() == copied.holds.seal:
            if is_known:
                return digest
            raise UsageLogUnavailable(
                f"the log is said to be durable up to offset {until.length} of {segment_name(until.segment)} only, and"
                " the backup has more of it: a power cut leaves a log so; start `entrepot serve`, whose log process"
                " finds the log's end, and back up again"
            )
    raise BadInput(
        f"the copy has {length} bytes of {segment_name(last)}, and these are not in the log of this data directory:"
        " it is a copy of another log, or of one that an older copy was restored in place of"
    )


def _has(disk: Disk, number: int, length: int) -> bool:
    """Whether a segment is there, and as long as this, whatever of it is durable."""
    return number in segment_numbers(disk.names()) and disk.length(segment_name(number)) >= length


def _check_seal(disk: Disk, number: int, seal: bytes) -> None:
    if read_header(disk, number).previous_seal != seal:
        raise LogDamaged(
            f"{segment_name(number - 1)}: its content does not match its seal, which stands at offset 24 of"
            f" {segment_name(number)}; one of the two was altered: restore both from a copy"
        )


def _end(disk: Disk, number: int, until: Durable) -> int:
    """How many bytes of a segment count."""
    return until.length if number == until.segment else read_header(disk, number + 1).previous_length


def _proven(disk: Disk, number: int, begin: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """(offset, bytes, records) for the pieces of a segment, each of whole frames, all valid."""
    name = segment_name(number)
    if not begin:
        yield 0, disk.read(name, 0, HEADER_BYTES), 0
    rest, at = b"", begin or HEADER_BYTES
    for offset, chunk in _chunks(disk, number, at, end):
        content = rest + chunk
        found = split_frames(content, at, 0, len(content))
        if found.stop not in {"end", "short"} or (found.stop == "short" and offset + len(chunk) == end):
            raise LogDamaged(f"{name}: the record at offset {found.stop_at} is damaged; restore this file from a copy")
        whole = found.stop_at - at
        yield at, content[:whole], len(found.ends)
        rest, at = content[whole:], found.stop_at


def _chunks(disk: Disk, number: int, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) for the pieces of a segment. Raises: LogDamaged where the file is missing or short."""
    name = segment_name(number)
    read_header(disk, number)
    for offset in range(begin, end, _CHUNK_BYTES):
        wanted = min(_CHUNK_BYTES, end - offset)
        content = disk.read(name, offset, wanted)
        if len(content) < wanted:
            raise LogDamaged(
                f"{name}: ends at offset {offset + len(content)}, before its last record; restore it from a copy"
            )
        yield offset, content
