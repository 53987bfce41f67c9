"""Counters in the memory of one process, and who has drawn of them: the process itself, or all that ask it."""

from collections.abc import Callable, Sequence

from entrepot.core.capacity import Counter, Limit
from entrepot.core.periods import MINUTE, SECOND, Instant
from entrepot.ports.counters import Draw, Grant, Return, Shortage

_AHEAD_SHARE = 8  # Of what is left at most an eighth is given ahead of need, at a time,
_LITTLE = 16  # and nothing when only a sixteenth of the limit is left,
_LOOK_BACK_US = 10 * MINUTE
SCARCE_US = SECOND  # or when somebody had to be refused so short a while ago.


class _Kept:
    """One counter. idle: by holder, what was drawn ahead and may be unused. short_at: when it did not suffice last."""

    __slots__ = ("counter", "idle", "limit", "short_at", "window")

    def __init__(self, limit: Limit) -> None:
        self.counter = Counter()
        self.limit = limit
        self.idle: dict[str, int] = {}
        self.short_at: Instant | None = None
        self.window = 0

    def advance(self, limit: Limit, at: Instant) -> None:
        """Nothing that was drawn of a window is there in the next one."""
        self.limit = limit
        if limit.refill == "window" and at // limit.window > self.window:
            self.window = at // limit.window
            self.idle.clear()

    def matters(self, at: Instant) -> bool:
        """Whether a counter that begins anew would be another one."""
        self.advance(self.limit, at)
        return self.limit.refill == "budget" or bool(self.idle or self.counter.used(self.limit, at))

    def ahead(self, draw: Draw, at: Instant) -> int:
        """What is given beside what is needed, which has been taken."""
        left = self.limit.units - self.counter.used(self.limit, at)
        if self.short_at is not None or left * _LITTLE <= self.limit.units:
            return 0
        return min(draw.wish, left // _AHEAD_SHARE)


class MemoryCounters:
    """All counters of one place."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._looked_back_at: Instant = 0
        self.scarce: set[str] = set()

    def holder(self, name: str) -> "MemoryHolder":
        """Who draws under this name."""
        return MemoryHolder(self, name)

    def draw(self, holder: str, draws: Sequence[Draw], at: Instant) -> tuple[Grant, ...] | Shortage:
        """Takes all or nothing."""
        for number, draw in enumerate(draws):
            kept = self._of(draw.limit, at)
            kept.idle.pop(holder, None)
            if not kept.counter.fits(draw.limit, draw.need, at):
                kept.short_at = at
                self.scarce.add(draw.limit.id)
                wait_us = kept.counter.wait(draw.limit, draw.need, at)
                return Shortage(number, kept.counter.used(draw.limit, at), wait_us, sum(kept.idle.values()))
        return tuple(self._take(holder, draw, at) for draw in draws)

    def give(self, holder: str, returns: Sequence[Return], at: Instant) -> None:
        """Frees what is free, takes what was used beyond."""
        for item in returns:
            kept = self._of(item.limit, at)
            if item.free > 0:
                kept.counter.give(item.limit, item.free, item.taken_at, at)
            elif item.free < 0:
                kept.counter.take(item.limit, -item.free, at)
            idle = kept.idle.pop(holder, 0) - max(item.free, 0)
            if idle > 0 and kept.short_at is None:
                kept.idle[holder] = idle

    def tick(self, at: Instant) -> None:
        """What was short a while ago is no more. Once in a while, what is as if it had never been is forgotten."""
        if at - self._looked_back_at >= _LOOK_BACK_US:
            self._looked_back_at = at
            self._kept = {name: kept for name, kept in self._kept.items() if name in self.scarce or kept.matters(at)}
        if self.scarce:
            for name in [*self.scarce]:
                kept = self._kept[name]
                if kept.short_at is not None and at - kept.short_at > SCARCE_US:
                    kept.short_at = None
                if kept.short_at is None:
                    self.scarce.remove(name)

    def drop(self, name: str) -> None:
        """Forgets a counter."""
        if self._kept.pop(name, None) is not None:
            self.scarce.discard(name)

    def _of(self, limit: Limit, at: Instant) -> _Kept:
        kept = self._kept.get(limit.id)
        if kept is None:
            kept = self._kept[limit.id] = _Kept(limit)
        kept.advance(limit, at)
        return kept

    def _take(self, holder: str, draw: Draw, at: Instant) -> Grant:
        kept = self._kept[draw.limit.id]
        counter = kept.counter
        taken_at = counter.take(draw.limit, draw.need, at)
        ahead = kept.ahead(draw, at)
        if ahead > 0:
            counter.take(draw.limit, ahead, at)
            kept.idle[holder] = ahead
        return Grant(draw.need + max(ahead, 0), draw.limit.units - counter.used(draw.limit, at), taken_at)


class MemoryHolder:
    """Meets the port Counters; answers at once."""

    def __init__(self, counters: MemoryCounters, name: str) -> None:
        self._counters = counters
        self._name = name

    def draw(
        self, draws: Sequence[Draw], at: Instant, done: Callable[[tuple[Grant, ...] | Shortage | None], None]
    ) -> None:
        """See Counters."""
        done(self._counters.draw(self._name, draws, at))

    def give(self, returns: Sequence[Return], at: Instant) -> None:
        """See Counters."""
        self._counters.give(self._name, returns, at)

    @property
    def scarce(self) -> set[str]:
        """See Counters."""
        return self._counters.scarce

    def tick(self, at: Instant) -> None:
        """See Counters."""
        self._counters.tick(at)
