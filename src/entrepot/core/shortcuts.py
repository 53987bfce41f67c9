"""Shortcuts through what is written at every request; shortcuts.c, compiled beside it, is imported in its place."""

import struct
from zlib import crc32

_FRAME = struct.Struct("<II")


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
