"""What is kept of an answer, and which answers are."""

import msgspec

from entrepot.core.periods import SECOND, Instant
from entrepot.core.usage_event import Outcome, UsageEvent

_VERSION = 1

# An answer that was filtered or broken off is not what the next one wants, and a tool call makes its client do
# something, for which it should have been meant.
_KEPT_OUTCOMES: frozenset[Outcome] = frozenset({"stop", "length"})


class KeptAnswer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A whole and successful answer with what it was metered as. body: of a stream, its events as they were relayed."""

    version: int
    at: Instant
    is_stream: bool
    body: bytes
    meters: dict[str, int]
    outcome: Outcome
    raw: bytes

    def age_s(self, at: Instant) -> int:
        """Seconds since it was made; never negative, even when clocks of two machines differ."""
        return max(0, at - self.at) // SECOND


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(KeptAnswer)


class Keeping:
    """An answer on its way to a client, of which a copy is taken. It is dropped when it grows longer than bytes_max.

    is_stream: to be set where it comes as events, whatever was asked for.
    """

    __slots__ = ("_at", "_bytes_max", "_parts", "_size", "is_stream")

    def __init__(self, at: Instant, bytes_max: int) -> None:
        self._at = at
        self.is_stream = False
        self._bytes_max = bytes_max
        self._size = 0
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        """The next piece of the body."""
        self._size += len(part)
        if self._size > self._bytes_max:
            self._parts.clear()
        else:
            self._parts.append(part)

    def whole(self, usage: UsageEvent) -> bytes | None:
        """What to keep, now that the answer is complete and metered; None when it is not one to be given again."""
        is_sound = usage.meters and usage.source == "reported" and usage.outcome in _KEPT_OUTCOMES
        if not is_sound or self._size > self._bytes_max:
            return None
        body = b"".join(self._parts)
        return _encode(KeptAnswer(_VERSION, self._at, self.is_stream, body, usage.meters, usage.outcome, usage.raw))


def read_kept(value: bytes) -> KeptAnswer | None:
    """The answer in a value, or None when another release wrote it, or something else did."""
    try:
        kept = _decoder.decode(value)
    except msgspec.DecodeError:
        return None
    return kept if kept.version == _VERSION else None
