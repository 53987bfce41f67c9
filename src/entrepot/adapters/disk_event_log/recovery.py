"""What an earlier writer left: how much of its last segment counts, and what was torn off.

Every whole frame counts, acknowledged or not, since nobody can tell after a power cut which were: a record too many is
harmless, one too few is not. A broken frame is the torn end of the last write only if the durable length is not beyond
it and no group follows it, because a group begins only when all before it is durable; anything else is damage. Zeros up
to the end of the file are what was made ahead and never used.
"""

import contextlib
from typing import NamedTuple

from entrepot.adapters.disk_event_log.files import Durable, Scan, read_durable, read_header, scan
from entrepot.core.errors import LogDamaged
from entrepot.core.segments import GENESIS_SEAL, later_group, sealed_with, segment_name, segment_numbers
from entrepot.ports.disk import Disk, write_all


class TornEnd(NamedTuple):
    """Bytes cut off a segment's end, up to the last that is not 0. saved: the file they were copied to, if any."""

    segment: str
    offset: int
    length: int
    saved: str | None


class Recovered(NamedTuple):
    """Where the log ends: the last segment's number (0: none yet), how many of its bytes count, and their seal."""

    number: int
    length: int
    seal: bytes
    torn: TornEnd | None


def recover(disk: Disk) -> Recovered:
    """The end of the log on disk, durable from now on. Raises: LogDamaged, OSError."""
    numbers = segment_numbers(disk.names())
    durable = read_durable(disk)
    _check_complete(numbers, durable)
    if not numbers:
        return Recovered(0, 0, GENESIS_SEAL, None)
    number = numbers[-1]
    name = segment_name(number)
    _check_predecessor(disk, number)
    disk.sync_names()  # The last writer may have died between naming this segment and making the name durable.
    disk.settle(name)
    size = disk.length(name)
    found = scan(disk, number, size)
    if durable is not None and durable.segment == number and durable.length > found.length:
        raise _damage(name, found.length)
    torn = None
    if found.stop == "seal":
        _check_seal(disk, number, found)
    elif tail := disk.read(name, found.length, size - found.length).rstrip(b"\0"):
        torn = _cut(disk, name, found.length, tail)
    return Recovered(number, found.length, found.seal.digest(), torn)


def _check_complete(numbers: list[int], durable: Durable | None) -> None:
    last = max([*numbers, durable.segment if durable else 0])
    missing = sorted(set(range(1, last + 1)) - set(numbers))
    if missing:
        raise LogDamaged(f"{segment_name(missing[0])}: the file is missing; restore it from a copy")


def _check_predecessor(disk: Disk, number: int) -> None:
    counted = read_header(disk, number).previous_length
    if number > 1 and disk.length(segment_name(number - 1)) < counted:
        raise LogDamaged(
            f"{segment_name(number - 1)}: ends before offset {counted}, where its records end; restore it from a copy"
        )


def _check_seal(disk: Disk, number: int, found: Scan) -> None:
    name = segment_name(number)
    said = sealed_with(disk.read(name, found.length, 64))
    if said != found.seal.digest():
        raise LogDamaged(
            f"{name}: the seal at offset {found.length} does not match what is before it; restore this file from a copy"
        )


def _cut(disk: Disk, name: str, offset: int, tail: bytes) -> TornEnd:
    """The torn end, copied aside for whoever wants to look; it stays in the segment too, where it no longer counts."""
    if later_group(tail, offset, offset) is not None:
        raise _damage(name, offset)
    aside = f"torn/{name.removesuffix('.seg')}-{offset}"
    saved = None
    with contextlib.suppress(OSError):  # A full disk must not keep the log from starting.
        file = disk.open(aside)
        try:
            write_all(file, 0, tail)
            file.sync()
            saved = aside
        finally:
            file.close()
    return TornEnd(name, offset, len(tail), saved)


def _damage(name: str, offset: int) -> LogDamaged:
    return LogDamaged(
        f"{name}: the record at offset {offset} is damaged, and it was durable; restore this file from a copy"
    )
