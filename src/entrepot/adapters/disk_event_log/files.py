"""Small acts on the log's files that writer and readers share."""

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from entrepot.core.errors import LogDamaged
from entrepot.core.segments import (
    DURABLE_BYTES,
    HEADER_BYTES,
    SegmentHeader,
    Stop,
    decode_durable,
    decode_header,
    segment_name,
    split_frames,
)
from entrepot.ports.disk import Disk

if TYPE_CHECKING:
    from hashlib import _Hash

DURABLE = "durable"

_CHUNK_BYTES = 4 * 2**20
_TRIES = 100


class Durable(NamedTuple):
    """How far the log is known to be durable."""

    segment: int
    length: int


class Scan(NamedTuple):
    """What a segment holds up to the first byte that is no whole, valid frame. seal: of the bytes before length."""

    length: int
    records: int
    seal: "_Hash"
    stop: Stop


def read_durable(disk: Disk) -> Durable | None:
    """How far the log is durable, as its writer last said; None before the first writer and when it cannot be read."""
    for _ in range(_TRIES):  # A read can meet the middle of an overwrite; the next one does not.
        try:
            found = decode_durable(disk.read(DURABLE, 0, DURABLE_BYTES))
        except FileNotFoundError:
            return None
        if found is not None:
            return Durable(*found)
    return None


def read_header(disk: Disk, number: int) -> SegmentHeader:
    """The header of a segment. Raises: LogDamaged."""
    try:
        return decode_header(disk.read(segment_name(number), 0, HEADER_BYTES), number)
    except FileNotFoundError:
        raise LogDamaged(f"{segment_name(number)}: the file is missing; restore it from a copy") from None


def scan(disk: Disk, number: int, until: int) -> Scan:
    """What segment `number` holds in its first `until` bytes. Raises: LogDamaged for its header."""
    name = segment_name(number)
    read_header(disk, number)
    seal = hashlib.sha256(disk.read(name, 0, HEADER_BYTES))
    at, records, wanted = HEADER_BYTES, 0, _CHUNK_BYTES
    while True:
        content = disk.read(name, at, min(wanted, until - at))
        found = split_frames(content, at, 0, len(content))
        seal.update(memoryview(content)[: found.stop_at - at])
        records += len(found.ends)
        more = at + len(content) < until and len(content) == wanted
        if found.stop not in {"end", "short"} or not more:
            return Scan(found.stop_at, records, seal, found.stop)
        if found.stop_at == at:  # A frame longer than the chunk.
            wanted *= 2
        at = found.stop_at
