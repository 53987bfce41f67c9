"""What is said on the log process's socket: bytes in, messages out, both ways.

A message is u32 length of its body, u8 kind, body; little-endian.

    client   HELLO  u8 version of this language, instance name, or none for commands and the worker
             BATCH  u32 epoch, u64 sequence, u32 records, as many record frames (core.segments)
    process  STATE  u8 available, reason: after HELLO, and whenever it changes
             ACK    u64 sequence: every batch of the epoch up to this one is durable
             NACK   u32 new epoch, reason: every batch not acknowledged is refused, and so is any of an older epoch

The epoch keeps a client's order: what it sent before it heard of a refusal is refused too, and never overtakes what it
sends again.

The log process takes the frames of a batch as they are: both ends are one program of one version, as HELLO says, and no
wire is between them that could change a byte. Whoever reads the log checks each frame.
"""

import struct
from typing import NamedTuple

from entrepot.core.errors import BadInput

HELLO, BATCH, STATE, ACK, NACK = range(1, 6)

MESSAGE_BYTES_MAX = 64 * 2**20

_VERSION = 2
_HEAD = struct.Struct("<IB")
_BATCH = struct.Struct("<IQI")
_EPOCH = struct.Struct("<I")
_SEQUENCE = struct.Struct("<Q")


class Message(NamedTuple):
    """One message; kind is HELLO to NACK."""

    kind: int
    body: bytes


def hello(instance: str) -> bytes:
    """A client's first message. instance: a gateway's name, to be declared lost when the connection ends; or ""."""
    return _message(HELLO, bytes([_VERSION]) + instance.encode())


def read_hello(body: bytes) -> str:
    """The instance. Raises: BadInput."""
    if body[:1] != bytes([_VERSION]):
        raise _other_language()
    try:
        return body[1:].decode()
    except UnicodeDecodeError:
        raise _other_language() from None


def batch(epoch: int, sequence: int, frames: list[bytes]) -> bytes:
    """Records to be made durable together, one a frame. Raises: BadInput when they are too many for one message."""
    size = _BATCH.size + sum(map(len, frames))
    if size > MESSAGE_BYTES_MAX:
        raise BadInput(f"{size} bytes of records at once; append at most {MESSAGE_BYTES_MAX}")
    return b"".join((_HEAD.pack(size, BATCH), _BATCH.pack(epoch, sequence, len(frames)), *frames))


def read_batch(body: bytes) -> tuple[int, int, int, memoryview]:
    """(epoch, sequence, records, their frames, which are not copied). Raises: BadInput."""
    if len(body) <= _BATCH.size:
        raise BadInput("a batch without records arrived at the log's socket; use one version everywhere")
    return *_BATCH.unpack_from(body), memoryview(body)[_BATCH.size :]


def state(available: bool, reason: str) -> bytes:
    """Whether records can be made durable now, and if not, why."""
    return _message(STATE, bytes([available]) + reason.encode())


def read_state(body: bytes) -> tuple[bool, str]:
    """(available, reason)."""
    return bool(body[0]), body[1:].decode()


def ack(sequence: int) -> bytes:
    """Everything up to the batch of this sequence is durable."""
    return _message(ACK, _SEQUENCE.pack(sequence))


def read_ack(body: bytes) -> int:
    """The sequence."""
    sequence: int = _SEQUENCE.unpack(body)[0]
    return sequence


def nack(epoch: int, reason: str) -> bytes:
    """Everything not acknowledged is refused; go on with this epoch."""
    return _message(NACK, _EPOCH.pack(epoch) + reason.encode())


def read_nack(body: bytes) -> tuple[int, str]:
    """(new epoch, reason)."""
    return _EPOCH.unpack_from(body)[0], body[_EPOCH.size :].decode()


class MessageReader:
    """Cuts a byte stream into messages."""

    __slots__ = ("_missing", "_parts")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing = 0

    def feed(self, received: bytes) -> list[Message]:
        """The messages that are complete now. Raises: BadInput for a stream that is none of ours."""
        if self._parts:
            self._parts.append(received)
            self._missing -= len(received)
            if self._missing > 0:  # A long message is put together once, not at each of its pieces.
                return []
            received = b"".join(self._parts)
        messages: list[Message] = []
        at, size = 0, len(received)
        self._missing = 1
        while at + _HEAD.size <= size:
            length, kind = _HEAD.unpack_from(received, at)
            if length > MESSAGE_BYTES_MAX or not HELLO <= kind <= NACK:
                raise _other_language()
            start = at + _HEAD.size
            if start + length > size:
                self._missing = start + length - size
                break
            messages.append(Message(kind, received[start : start + length]))
            at = start + length
        self._parts = [received[at:]] if at < size else []
        return messages


def _message(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(len(body), kind) + body


def _other_language() -> BadInput:
    return BadInput("the other end of the log's socket speaks another language; use one version everywhere")
