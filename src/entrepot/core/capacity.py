"""How much may still be used of what is limited: counters that are taken from, and what makes them free again.

Three kinds, by how units come back. A `window` is empty again when the next one begins; windows are counted from the
epoch. A `bucket` leaks all the time; it takes a request whatever its size while it is no more than full, as provisioned
throughput does. A `budget` never comes back by itself.

Units are tokens, requests, a model's input tokens (provisioned throughput) or pico of a currency; a counter does not
know which. All arithmetic is exact.
"""

from bisect import bisect_right
from typing import Literal

import msgspec

from entrepot.core.periods import END_OF_TIME, MINUTE, Instant

LOWS_MAX = 64  # Of a bucket, that are remembered; with more, the oldest are taken together.

Refill = Literal["window", "bucket", "budget"]
Measure = Literal["requests", "tokens", "load", "money", "priority_tokens"]
# How a limit of requests, tokens or load stands for who meets it: (measure, its units, those that remain, microseconds
# until its window begins anew). No class: a request makes one for each of its limits, and a plain tuple costs least.
Standing = tuple[Measure, int, int, Instant]


class Limit(msgspec.Struct, frozen=True, gc=False):
    """What may be used. id: the name of its counter, wherever that is kept.

    units: what a window holds, what a bucket holds when it is full, what a budget is. window: its length, in
    microseconds. drain: units that leave a bucket in a minute.
    """

    id: str
    measure: Measure
    refill: Refill
    units: int
    window: int = 0
    drain: int = 0


class Counter:
    """What is used of one limit, held or spent. Time that goes backwards stands still.

    The limit is said at each call, since it can be changed while its counter runs; a counter keeps what was used.
    """

    __slots__ = ("_at", "_lows", "_used")

    def __init__(self) -> None:
        self._used = 0  # Of a bucket in units x microseconds of a minute, so that what leaks is a whole number.
        self._at: Instant = 0
        self._lows: list[tuple[Instant, int]] = []  # When a bucket held less than at any later time.

    @classmethod
    def of(cls, state: tuple[int, Instant]) -> "Counter":
        """The counter that had this state."""
        counter = cls()
        counter._used, counter._at = state
        return counter

    @property
    def state(self) -> tuple[int, Instant]:
        """What is used, in the counter's own grain, and since when it has been told nothing; for `of`."""
        return self._used, self._at

    def used(self, limit: Limit, at: Instant) -> int:
        """Units that are not free; of a bucket, those that have not leaked yet, rounded up."""
        self._advance(limit, at)
        return -(-self._used // MINUTE) if limit.refill == "bucket" else self._used

    def fits(self, limit: Limit, units: int, at: Instant) -> bool:
        """Whether so many may be taken now."""
        self._advance(limit, at)
        if limit.refill == "bucket":
            return self._used <= limit.units * MINUTE
        return self._used + units <= limit.units

    def wait(self, limit: Limit, units: int, at: Instant) -> int | None:
        """Microseconds until so many fit if nobody else takes any; 0 when they do now, None when they never will."""
        if self.fits(limit, units, at):
            return 0
        if limit.refill == "bucket":
            return -(-(self._used - limit.units * MINUTE) // limit.drain) if limit.drain else None
        if limit.refill == "budget" or units > limit.units:
            return None
        return limit.window - self._at % limit.window

    def take(self, limit: Limit, units: int, at: Instant) -> Instant:
        """Takes units, whether they fit or not; the instant to give them back with."""
        self._advance(limit, at)
        self._used += units * MINUTE if limit.refill == "bucket" else units
        return self._at

    def give(self, limit: Limit, units: int, taken_at: Instant, at: Instant) -> None:
        """Frees units that were taken and not used.

        Giving them back late frees no more than at once would have: of a window that is over nothing, of a bucket what
        cannot have leaked since, which is no more than it has held at any time in between.
        """
        self._advance(limit, at)
        if limit.refill == "bucket":
            since = bisect_right(self._lows, taken_at, key=_when)
            lowest = self._lows[since][1] if since < len(self._lows) else self._used
            self._used -= min(units * MINUTE, lowest)
            self._note_low()
        elif limit.refill == "budget" or taken_at // limit.window == self._at // limit.window:
            self._used = max(0, self._used - units)

    def _advance(self, limit: Limit, at: Instant) -> None:
        if at <= self._at:
            return
        if limit.refill == "bucket":
            self._used = max(0, self._used - limit.drain * (at - self._at))
            self._at = at
            self._note_low()
        elif limit.refill == "window" and at // limit.window != self._at // limit.window:
            self._used = 0
        self._at = at

    def _note_low(self) -> None:
        lows = self._lows
        while lows and lows[-1][1] >= self._used:
            lows.pop()
        lows.append((self._at, self._used))
        if len(lows) > LOWS_MAX:  # The lower of the two at the later time: never more generous.
            lows[:2] = [(lows[1][0], lows[0][1])]


def _when(low: tuple[Instant, int]) -> Instant:
    return low[0]


class ServedLimit(msgspec.Struct, frozen=True, gc=False):
    """A limit as requests meet it. name: what it is declared as; whose: what it is declared for, in words.

    counts_batches: whether requests of batches count; they have a room of their own. output_weight: what an output
    token takes of a load. It is met from its beginning to before its end.
    """

    limit: Limit
    name: str
    whose: str
    counts_batches: bool = True
    output_weight: int = 1
    begins: Instant = 0
    ends: Instant = END_OF_TIME
