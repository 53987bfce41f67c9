"""The tap on an event stream: relays it, counts it, and notices the few events that say more than content.

Almost every event of a stream is content. So a block of events is searched for a dialect's *marks*, and only an event
that holds one (and the first) is handed to the dialect to be read. All else is counted by its data lines and relayed as
it came. An event is never relayed in part, hence what comes out does not depend on how the network cut the stream.
"""

from collections.abc import Callable
from typing import Final, Protocol

from entrepot.relay import shortcuts
from entrepot.relay.sse import data_of, end_of_last_event, split_events

EVENT_BYTES_MAX = 8 * 2**20
_END = b"\n\n"
_lines_of_content: Final = shortcuts.lines_of_content  # Bound once; see decisions/0009.


class Said(Protocol):
    """What an event says, besides content."""

    @property
    def usage(self) -> bytes:
        """The usage object verbatim, or b""."""
        ...

    @property
    def finish(self) -> str:
        """Why the answer ends, or ""."""
        ...

    @property
    def has_content(self) -> bool:
        """Whether it carries a part of the answer."""
        ...

    @property
    def is_usage_only(self) -> bool:
        """Whether it carries usage and nothing of the answer."""
        ...

    @property
    def is_last(self) -> bool:
        """Whether it ends the stream."""
        ...

    @property
    def also(self) -> dict[str, int]:
        """By meter, what was used beside the usage object."""
        ...

    @property
    def tier(self) -> str:
        """The tier of service the answer is served at, or ""."""
        ...


class OverlongEvent(Exception):
    """An event of more bytes than its dialect knows."""


class StreamTap:
    """One stream. counted: events with content so far, at least a token each; usage, also, finish, tier: the last seen.

    finished: the dialect's last event has come; it is in held, with whatever came behind it, and not relayed yet.
    """

    __slots__ = (
        "_begun", "_drop_usage", "_event_bytes_max", "_last", "_marks", "_parts", "_read", "_size", "also", "counted",
        "finish", "finished", "held", "tier", "usage",
    )  # fmt: skip

    def __init__(
        self,
        *,
        marks: tuple[bytes, ...],
        read: Callable[[bytes], Said],
        drop_usage: bool,
        event_bytes_max: int = EVENT_BYTES_MAX,
    ) -> None:
        self._marks = marks
        self._read = read
        self._drop_usage = drop_usage
        self._event_bytes_max = event_bytes_max
        self._parts: list[bytes] = []  # Of an event that is not whole, in the pieces in which it came;
        self._size = 0  # how long they are together,
        self._last = b""  # and what they end with, which may begin the end of the event.
        self._begun = False
        self.counted = 0
        self.also: dict[str, int] = {}
        self.usage = b""
        self.finish = ""
        self.tier = ""
        self.finished = False
        self.held = b""

    def feed(self, payload: bytes) -> bytes:
        """The whole events to relay now. Raises: OverlongEvent."""
        if self._parts:
            seam = self._last + payload
            if not end_of_last_event(seam):
                self._keep(payload, seam)
                return b""
            payload = b"".join((*self._parts, payload))  # A long event is put together once, not at each of its pieces.
            self._parts = []
            self._size = 0
        if not payload.endswith(_END):
            end = end_of_last_event(payload)
            if end < len(payload):
                rest = payload[end:]
                self._keep(rest, rest)
                payload = payload[:end]
        return self._pass(payload) if payload else b""

    def passes(self, data: bytes) -> bool:
        """Whether data is one HTTP chunk of whole events of mere content, to be relayed as it is; if so, counted."""
        if self._parts or not self._begun or self.finished:
            return False
        lines = _lines_of_content(data, self._marks)
        if lines < 0:
            return False
        self.counted += lines
        return True

    @property
    def final_usage(self) -> bytes:
        """The usage seen last, if the answer had come to its end by then; servers may report it as it grows."""
        return self.usage if self.finish or self.finished else b""

    def end(self) -> bytes:
        """The last of the stream's bytes to relay, now that it has ended: an event without its empty line."""
        rest = b"".join(self._parts)
        self._parts = []
        return self._pass(rest) if rest else b""

    def _keep(self, part: bytes, seam: bytes) -> None:
        """Keeps a part of an event until its end has come. seam: the part, behind what the last one ended with."""
        self._size += len(part)
        if self._size > self._event_bytes_max:
            raise OverlongEvent
        self._parts.append(part)
        self._last = seam[-2:]

    def _pass(self, block: bytes) -> bytes:
        if self._begun and not self.finished:
            for mark in self._marks:
                if block.find(mark) >= 0:
                    break
            else:
                self.counted += _data_lines(block)
                return block
        return b"".join([event for event in split_events(block) if self._relays(event)])

    def _relays(self, event: bytes) -> bool:
        """Whether the event is relayed now; notes what it says."""
        if self.finished:
            self.held += event
            return False
        if self._begun and not any(mark in event for mark in self._marks):
            self.counted += _data_lines(event)
            return True
        said = self._read(data_of(event))
        self._begun = self._begun or _data_lines(event) > 0
        if said.usage:
            self.usage = said.usage
        if said.finish:
            self.finish = said.finish
        if said.tier:
            self.tier = said.tier
        if said.has_content:
            self.counted += 1
        if said.is_last:
            self.finished = True
            self.held = event
            self.also = said.also
            return False
        return not (self._drop_usage and said.is_usage_only)


def _data_lines(block: bytes) -> int:
    """How many lines of the block begin an event's data. Model servers write one such line an event."""
    return block.count(b"\ndata:") + block.startswith(b"data:")
