"""Shortcuts through what is written at every request; shortcuts.c, compiled beside it, is imported in its place."""

import struct
from mmap import mmap
from zlib import crc32

_FRAME = struct.Struct("<II")
_BOUNDS = struct.Struct("<Q")


def event_id(at_us: int, instance: int, sequence: int) -> str:
    """A 128-bit, time-ordered event id in 32 hex digits: 48 bits of milliseconds, 32 of instance, 48 of sequence."""
    number = (at_us // 1000) << 80 | instance << 48 | sequence & 0xFFFFFFFFFFFF
    return number.to_bytes(16, "big").hex()


def frame(payload: bytes) -> bytes:
    """The payload as a frame of core.segments."""
    return _FRAME.pack(len(payload), crc32(payload, len(payload))) + payload


def framed(record: object) -> bytes | None:
    """What frame makes of a log record's encoding; None, and then the long way makes it."""
    del record
    return None


def keep(memory: mmap, at: int, content: bytes, bounds: int) -> None:
    """Puts content into memory, from 8 on, and then the bounds of what is kept there into its first 8 bytes.

    The bounds are written last and in one piece, for a reader that comes when this process is gone. Raises: ValueError.
    """
    if at < _BOUNDS.size or at + len(content) > len(memory):
        raise ValueError("it does not fit")
    memory[at : at + len(content)] = content
    _BOUNDS.pack_into(memory, 0, bounds)


def count_in(counts: list[int], value: int, first: int, doublings: int) -> None:
    """Counts a value in a histogram of core.metrics whose bounds are first, and each 2**doublings times the last."""
    at, above = 0, len(counts) - 2
    while value > first and at < above:
        first <<= doublings
        at += 1
    counts[at] += 1
    counts[-1] += value


def add_up(totals: dict[str, int], units: dict[str, int]) -> None:
    """Adds units to their totals."""
    for name, number in units.items():
        totals[name] = totals.get(name, 0) + number
