"""The segment format of the usage log: bytes in, bytes out.

A segment file is a header, groups, and once it is complete a seal:

    header  magic, format, segment number, and how many bytes of the segment before count, with their seal; 64 bytes
    group   a group head that names its own offset, then record frames; written together, made durable together
    frame   u32 length, u32 CRC-32 of the payload begun at the length, payload; all little-endian
    seal    SHA-256 over every byte of the segment before the seal frame

A segment that is being written may be longer than what it holds: zeros are made ahead of the groups, since overwriting
costs a disk less than growing. They are no frame: a frame has a length.

Where a segment ends is said by its successor's header, so leaving a segment after a failed write, after a crash or
because it is full is one and the same act, and nothing is ever written behind bytes whose fate is unknown. Each header
holds the seal of what counts before it: the seals form a chain, and the last one vouches for the whole log.

A group begins only when everything before it is durable. Its head therefore proves that a bad frame before it is
damage, while a bad frame with no later group behind it is the torn end of a write that nobody was promised.
"""

import struct
from collections.abc import Sequence
from typing import Literal, NamedTuple
from zlib import crc32

import msgspec

from entrepot.core import shortcuts
from entrepot.core.errors import BadInput, LogDamaged

HEADER_BYTES = 64
RECORD_BYTES_MAX = 16 * 2**20
GENESIS_SEAL = bytes(32)

_MAGIC = b"ENTREPOT"
_FORMAT = 1
_HEADER = struct.Struct("<8sIIQ32s4x")
_HEAD = struct.Struct("<II")
_CRC = struct.Struct("<I")
_GROUP = struct.Struct("<cQ")
_SEAL = struct.Struct("<cQ32s")
_DURABLE = struct.Struct("<4sIQ")
_DURABLE_MAGIC = b"DURA"
_CONTROL = 0x8000_0000  # Set in the length of the frames that are not records.
_GROUP_START = struct.pack("<I", _CONTROL | _GROUP.size)

DURABLE_BYTES = _DURABLE.size + _CRC.size
GROUP_HEAD_BYTES = _HEAD.size + _GROUP.size

# Why a walk over frames stopped: buffer used up, last frame incomplete, frame broken, nothing but zeros where a frame's
# head would be, seal met, limit reached.
Stop = Literal["end", "short", "bad", "zeros", "seal", "limit"]


class SegmentHeader(msgspec.Struct, frozen=True):
    """What a segment says about itself and its predecessor. Segment 1 follows (0 bytes, GENESIS_SEAL)."""

    number: int
    previous_length: int
    previous_seal: bytes


class Frames(NamedTuple):
    """Records of a piece of a segment. ends: the offset behind each; stop_at: where the walk stopped."""

    payloads: list[bytes]
    ends: list[int]
    stop: Stop
    stop_at: int


def segment_name(number: int) -> str:
    """The file name of a segment: 00000001.seg."""
    return f"{number:08d}.seg"


def segment_numbers(names: Sequence[str]) -> list[int]:
    """The numbers of the segments among file names, ascending."""
    return sorted(int(name[:-4]) for name in names if name.endswith(".seg") and name[:-4].isdecimal())


def encode_header(header: SegmentHeader) -> bytes:
    """The 64 bytes at the start of a segment."""
    fields = _HEADER.pack(_MAGIC, _FORMAT, header.number, header.previous_length, header.previous_seal)
    return fields + _CRC.pack(crc32(fields))


def decode_header(content: bytes, number: int) -> SegmentHeader:
    """The header of segment `number`. Raises: LogDamaged."""
    name = segment_name(number)
    fields = content[: _HEADER.size]
    if len(content) < HEADER_BYTES or content[_HEADER.size : HEADER_BYTES] != _CRC.pack(crc32(fields)):
        raise LogDamaged(f"{name}: the header at offset 0 is damaged; restore this file from a copy")
    magic, version, said, previous_length, previous_seal = _HEADER.unpack(fields)
    if magic != _MAGIC or said != number:
        raise LogDamaged(f"{name}: this file is not segment {number} of a usage log; restore it from a copy")
    if version != _FORMAT:
        raise LogDamaged(
            f"{name}: written in format {version}, this program reads {_FORMAT}; use a newer version of it"
        )
    return SegmentHeader(number=said, previous_length=previous_length, previous_seal=previous_seal)


def frame(payload: bytes) -> bytes:
    """A record's bytes with their frame. Raises: BadInput for an empty or oversized record."""
    length = len(payload)
    if not 0 < length <= RECORD_BYTES_MAX:
        raise BadInput(f"a record has {length} bytes; the usage log takes 1 to {RECORD_BYTES_MAX}")
    return shortcuts.frame(payload)


def group_head(offset: int) -> bytes:
    """The frame that begins a group at this offset of its segment."""
    return _control(_GROUP.pack(b"G", offset))


def seal_frame(offset: int, seal: bytes) -> bytes:
    """The frame that ends a complete segment at this offset."""
    return _control(_SEAL.pack(b"S", offset, seal))


def sealed_with(content: bytes) -> bytes:
    """The seal in the bytes of a seal frame that split_frames has accepted."""
    seal: bytes = _SEAL.unpack_from(content, _HEAD.size)[2]
    return seal


def split_frames(content: bytes, base: int, at: int, limit: int) -> Frames:
    """Up to limit records of content, whose first byte has offset base in its segment, from offset base + at on."""
    payloads: list[bytes] = []
    ends: list[int] = []
    size = len(content)
    unpack, head_bytes, checksum = _HEAD.unpack_from, _HEAD.size, crc32
    while len(payloads) < limit:
        start = at + head_bytes
        if start > size:
            return Frames(payloads, ends, "end" if at == size else "short", base + at)
        length, crc = unpack(content, at)
        if not 0 < length <= RECORD_BYTES_MAX:
            stop = _control_stop(content, base, at)
            if stop is not None:
                return Frames(payloads, ends, stop, base + at)
            at += GROUP_HEAD_BYTES
            continue
        end = start + length
        if end > size:
            return Frames(payloads, ends, "short", base + at)
        payload = content[start:end]
        if checksum(payload, length) != crc:
            return Frames(payloads, ends, "bad", base + at)
        payloads.append(payload)
        ends.append(base + end)
        at = end
    return Frames(payloads, ends, "limit", base + at)


def whole_frames(content: bytes) -> tuple[bytes, int]:
    """(the record frames that content begins with, how many), up to the first that is not whole and valid."""
    at, count, size = 0, 0, len(content)
    while at + _HEAD.size < size:
        start = at + _HEAD.size
        length, crc = _HEAD.unpack_from(content, at)
        end = start + length
        if not 0 < length <= RECORD_BYTES_MAX or end > size or crc32(content[start:end], length) != crc:
            break
        at = end
        count += 1
    return content[:at], count


def later_group(content: bytes, base: int, after: int) -> int | None:
    """The offset of the first valid group head in content that lies beyond offset after, or None."""
    at = content.find(_GROUP_START, after + 1 - base)
    while at >= 0:
        if _control_stop(content, base, at) is None:
            return base + at
        at = content.find(_GROUP_START, at + 1)
    return None


def encode_durable(segment: int, length: int) -> bytes:
    """The content of the file that says how far the log is durable."""
    fields = _DURABLE.pack(_DURABLE_MAGIC, segment, length)
    return fields + _CRC.pack(crc32(fields))


def decode_durable(content: bytes) -> tuple[int, int] | None:
    """(segment, length), or None when the content is not whole, as while it is being overwritten."""
    fields = content[: _DURABLE.size]
    if len(content) != DURABLE_BYTES or content[_DURABLE.size :] != _CRC.pack(crc32(fields)):
        return None
    _, segment, length = _DURABLE.unpack(fields)
    return segment, length


def _control(payload: bytes) -> bytes:
    length = _CONTROL | len(payload)
    return _HEAD.pack(length, crc32(payload, length)) + payload


def _control_stop(content: bytes, base: int, at: int) -> Stop | None:
    """None for a valid group head, "seal" for a valid seal, else what this is instead."""
    length, crc = _HEAD.unpack_from(content, at)
    if length not in {_CONTROL | _GROUP.size, _CONTROL | _SEAL.size}:
        return "bad" if length or crc else "zeros"
    start = at + _HEAD.size
    payload = content[start : start + (length ^ _CONTROL)]
    if len(payload) < length ^ _CONTROL:
        return "short"
    if crc32(payload, length) != crc or _GROUP.unpack_from(payload)[1] != base + at:
        return "bad"
    return "seal" if payload[:1] == b"S" else None
