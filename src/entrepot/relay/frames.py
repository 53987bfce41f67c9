"""WebSocket frames of one direction: where they begin and end, and which text messages hold something of interest.

Bytes are never changed here, only measured, so that they can be relayed as they came. Source: RFC 6455, section 5.
"""

from collections.abc import Sequence
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

FRAME_BYTES_MAX = 32 * 2**20
MESSAGE_BYTES_MAX = 64 * 2**20
_CONTROL_BYTES_MAX = 125
_KNOWN = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_NO_MASK = bytes(4)


class BrokenFrames(Exception):
    """Bytes that are no frames we take; the text says why."""


class Piece(NamedTuple):
    """The part of one frame that is in a piece of data: data[at:stop], of which data[begin:stop] is payload.

    kind: of the message that the frame is a part of. begins, ends: the frame does here; completes: its message does.
    """

    kind: int
    begins: bool
    at: int
    begin: int
    stop: int
    ends: bool
    completes: bool


class FrameReader:
    """Finds the frames in data that comes in any pieces. masked: they come from a client."""

    __slots__ = ("_completes", "_head", "_kind", "_left", "_masked", "_message")

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._head = b""  # The beginning of a frame whose head is not whole.
        self._left = -1  # Payload still to come of the frame at hand; -1 between frames.
        self._kind = CONTINUATION
        self._completes = False
        self._message = CONTINUATION  # The kind of a message of which more frames must come.

    @property
    def is_between(self) -> bool:
        """Whether the last frame is whole, and another could be put behind it."""
        return self._left < 0 and not self._head

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces of frames in data, in order; together they are all of it. Raises: BrokenFrames."""
        pieces: list[Piece] = []
        at = 0
        while at < len(data):
            begins = self.is_between
            begin = at if self._left >= 0 else self._read_head(data, at)
            stop = min(len(data), begin + max(self._left, 0))
            ends = self._left == stop - begin
            completes = ends and self._completes
            pieces.append(Piece(self._kind, begins, at, begin, stop, ends, completes))
            self._left = -1 if ends or self._left < 0 else self._left - (stop - begin)
            at = stop
        return pieces

    def _read_head(self, data: bytes, at: int) -> int:
        """Where the payload begins; the end of data when the head is not whole yet."""
        known = len(self._head)
        head = self._head + data[at : at + 14]
        size = _head_size(head)
        if len(head) < size:
            self._head, self._kind = head, CONTINUATION
            return len(data)
        self._head = b""
        self._begin(head[:size])
        return at + size - known

    def _begin(self, head: bytes) -> None:
        first, second = head[0], head[1]
        opcode, length = first & 0x0F, second & 0x7F
        if first & 0x70:
            raise BrokenFrames("a frame uses an extension that was not agreed")
        if opcode not in _KNOWN:
            raise BrokenFrames(f"a frame of an unknown kind, {opcode}")
        if bool(second & 0x80) != self._masked:
            raise BrokenFrames("a frame is masked, or not, as it must not be")
        if length == 126:
            length = int.from_bytes(head[2:4], "big")
        elif length == 127:
            length = int.from_bytes(head[2:10], "big")
        if length > FRAME_BYTES_MAX:
            raise BrokenFrames(f"a frame of {length} bytes")
        is_final = bool(first & 0x80)
        if opcode >= CLOSE:
            if not is_final or length > _CONTROL_BYTES_MAX:
                raise BrokenFrames("a control frame is in parts, or too long")
            self._kind, self._completes = opcode, True
        else:
            if (opcode == CONTINUATION) != (self._message != CONTINUATION):
                raise BrokenFrames("a message begins inside another, or goes on without having begun")
            self._kind = self._message or opcode
            self._completes = is_final
            self._message = CONTINUATION if is_final else self._kind
        self._left = length


def _head_size(head: bytes) -> int:
    """The bytes of a frame's head, as far as its beginning tells."""
    if len(head) < 2:
        return 2
    length = head[1] & 0x7F
    return 2 + (2 if length == 126 else 8 if length == 127 else 0) + (4 if head[1] & 0x80 else 0)


class Part(NamedTuple):
    """Bytes to relay. message: that which they complete, if it holds a mark, else b"".

    between: before them, a frame of ours could be put. counted: the scanner's count when the message was complete.
    """

    data: bytes
    message: bytes
    between: bool = False
    counted: int = 0


class MessageScanner:
    """Looks for marks in the text messages of a server.

    A message is kept until it is whole, while its bytes are relayed: only its last ones can be held back.
    counted: text messages that held the count's mark. is_closed: the server has said that it ends.
    """

    __slots__ = ("_count", "_marks", "_parts", "_reader", "_size", "counted", "is_closed")

    def __init__(self, marks: Sequence[bytes], count: bytes) -> None:
        self._marks = tuple(marks)
        self._count = count
        self._reader = FrameReader(masked=False)
        self._parts: list[bytes] = []
        self._size = 0
        self.counted = 0
        self.is_closed = False

    @property
    def is_between(self) -> bool:
        """Whether a frame of ours could be put behind what has come."""
        return self._reader.is_between

    def watch(self, mark: bytes) -> None:
        """Looks for another mark from here on."""
        self._marks += (mark,)

    def feed(self, data: bytes) -> list[Part]:
        """All of data in order, cut where a message ends that holds a mark. Raises: BrokenFrames."""
        parts: list[Part] = []
        done = 0
        for piece in self._reader.feed(data):
            if piece.kind != TEXT:
                self.is_closed = self.is_closed or (piece.kind == CLOSE and piece.ends)
                continue
            message = self._take(data[piece.begin : piece.stop], completes=piece.completes)
            if message:
                if piece.at > done:
                    parts.append(Part(data[done : piece.at], b""))
                parts.append(Part(data[piece.at : piece.stop], message, piece.begins, self.counted))
                done = piece.stop
        if done < len(data):
            parts.append(Part(data[done:] if done else data, b""))
        return parts

    def _take(self, payload: bytes, *, completes: bool) -> bytes:
        """The message that payload completes, if it holds a mark."""
        if not completes or self._parts:
            self._parts.append(payload)
            self._size += len(payload)
            if self._size > MESSAGE_BYTES_MAX:
                raise BrokenFrames("a message that is too long")
            if not completes:
                return b""
            payload = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        if payload.find(self._count) >= 0:
            self.counted += 1
        for mark in self._marks:
            if payload.find(mark) >= 0:
                return payload
        return b""


def frame(kind: int, payload: bytes, *, masked: bool) -> bytes:
    """A frame of less than 64 KiB. A mask of zeros hides nothing, but then we are no browser and need not."""
    length = len(payload)
    bit = 0x80 if masked else 0
    head = bytes((0x80 | kind, bit | length)) if length < 126 else bytes((0x80 | kind, bit | 126)) + length.to_bytes(2)
    return head + (_NO_MASK if masked else b"") + payload


def close_frame(code: int, reason: str, *, masked: bool) -> bytes:
    """A frame that ends the conversation. Source: RFC 6455, section 7.4.1 for the codes."""
    return frame(CLOSE, code.to_bytes(2) + reason.encode()[:120], masked=masked)
