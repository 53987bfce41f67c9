"""Counters that several gateways draw from: what one place keeps of them, on told time.

A process of the machine keeps them like this; adapters/valkey/counters.lua says the same to a Valkey server, and one
suite holds both to it.

Nothing of it is on a disk. Instead every gateway remembers the last state it was told of each counter, and says it when
it meets a store of another epoch: one that has begun anew. No units are granted for REMEMBER_US then, so that every
gateway has spoken before anything is decided. Whoever was told last knows the exact state, since each grant is told to
somebody.

Of a budget, which does not heal by itself, it is kept how much each holder has of it: a gateway that comes back says
so, and an answer that was lost changes nothing. What a lost gateway had stays until the books say what became of it.

A clock that was ahead and is set right takes along what it timed: a window begins anew, a bucket leaks on from now.

A budget that nobody has named for FORGET_US is forgotten. Whoever asks for it again says first what the books know of
it, and it begins with that, what holders had of it included.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from entrepot.core.capacity import Counter, Limit
from entrepot.core.draws import Draw
from entrepot.core.periods import DAY, HOUR, SECOND, SET_BACK_US, Instant

LEASE_US = 3 * SECOND  # Who has said nothing for so long holds nothing idle any more, and shares in nothing.
SCARCE_US = 2 * SECOND
REMEMBER_US = 2 * SECOND
FORGET_US = 2 * DAY  # Longer than a gateway remembers a budget without saying anything of it.
_GONE_US = HOUR  # A gateway that has said nothing for so long does not come back under its name.
SHARES = 4  # Ahead of need a gateway gets at most this part of its even share of what is left.

State = tuple[int, Instant]  # Of a core.capacity.Counter.


class Claim(NamedTuple):
    """What a gateway knows of a counter: its state when it was last told, and, of a budget, what it has of it."""

    limit: Limit
    state: State
    held: int


class Taken(NamedTuple):
    """Units that were taken beside what was needed. scarce: nothing of it should be kept idle."""

    ahead: int
    state: State
    scarce: bool


class Short(NamedTuple):
    """Nothing was taken. draw: the number of the one that does not fit. idle: units others may have idle."""

    draw: int
    state: State
    idle: int


class Closed(NamedTuple):
    """Nothing was taken, since this store has begun anew and not every gateway can have spoken yet."""

    wait_us: int


class Given(NamedTuple):
    """free: units that were not used. over: units that were used beyond what was drawn."""

    limit: Limit
    free: int
    over: int
    taken_at: Instant


class Own(NamedTuple):
    """What the books know that a gateway has of a budget: counted for requests that are over, held for open ones."""

    counted: int
    held: int

    @property
    def had(self) -> int:
        """Both together: what its counter has for all requests that the books know."""
        return self.counted + self.held


class Weighed(NamedTuple):
    """What the books say of a budget at a place in the log.

    Used are: the units that living gateways hold of it, plus more, minus what these gateways have counted, which more
    already includes. living: gateways that have begun and are not lost.
    """

    limit: Limit
    more: int
    place: int
    living: Mapping[str, Own]


class _Kept:
    """One counter. lent: units by holder that may lie idle there. held: of a budget, by holder. base: see `restore`.

    place: in the log, where the books weighed it last; -1 before that.
    """

    __slots__ = ("base", "counter", "held", "lent", "limit", "place", "short_at")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.counter = Counter()
        self.lent: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.base: State = (0, 0)
        self.short_at: Instant = -1
        self.place = -1

    def restore(self, limit: Limit, claim: State, at: Instant) -> None:
        """Goes by what a gateway was told of this counter's earlier life, where that is later than what others were.

        What was told later than now was so before the clock was set back.
        """
        used, told = claim[0], min(claim[1], at)
        self.base = _as_of(limit, self.base, at)
        if told < self.base[1]:
            return
        known = Counter.of(self.base)
        known.take(limit, 0, told)
        more = used - known.state[0]
        if told == self.base[1]:  # Which of the two came later, nobody knows.
            more = max(0, more)
        self.base = (known.state[0] + more, told)
        self.counter.take(limit, 0, told)
        if limit.refill != "window" or told // limit.window == at // limit.window:
            now_used, since = self.counter.state
            self.counter = Counter.of((max(0, now_used + more), since))

    def is_scarce(self, limit: Limit, at: Instant) -> bool:
        if self.short_at < 0 or not -SET_BACK_US <= at - self.short_at < SCARCE_US:
            return False
        return limit.refill != "window" or self.short_at // limit.window == at // limit.window

    def hold(self, limit: Limit, holder: str, units: int) -> None:
        if limit.refill == "budget":
            self.held[holder] = max(0, self.held.get(holder, 0) + units)


class SharedCounters:
    """All counters of one place. epoch: another one for each life of it."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self._kept: dict[str, _Kept] = {}
        self._generations: dict[str, int] = {}
        self._leases: dict[str, Instant] = {}
        self._lost_at: Instant = -1

    def is_stale(self, holder: str, generation: int) -> bool:
        """Whether a message is from a connection that its gateway has given up since."""
        return generation < self._generations.get(holder, 0)

    def join(self, holder: str, generation: int, epoch: str, claims: Sequence[Claim], at: Instant) -> int:
        """Takes in what a gateway knows; microseconds until something is granted.

        epoch: the one that its knowledge is of, or "". generation: greater at each of its connections.
        """
        self._generations[holder] = generation
        self._renew(holder, at)
        if epoch not in {"", self.epoch} and self._lost_at < 0:
            self._lost_at = at
        for limit, state, held in claims:
            kept = self._of(limit, at)
            before = kept.held.get(holder, 0)
            if epoch != self.epoch and kept.place < 0:
                kept.restore(limit, state, at)
            elif limit.refill == "budget" and held > before:
                kept.counter.take(limit, held - before, at)
            elif limit.refill == "budget":
                kept.counter.give(limit, before - held, at, at)
            kept.hold(limit, holder, held - before)
        return self._closed_us(at)

    def draw(self, holder: str, draws: Sequence[Draw], at: Instant) -> list[Taken] | Short | Closed:
        """Takes what is needed of every limit, and what may be had beside it; or nothing."""
        self._renew(holder, at)
        if self._closed_us(at):
            return Closed(self._closed_us(at))
        for number, (limit, need, _) in enumerate(draws):
            kept = self._of(limit, at)
            if not kept.counter.fits(limit, need, at):
                kept.short_at = at
                idle = sum(units for other, units in kept.lent.items() if other != holder and self._lives(other, at))
                return Short(number, kept.counter.state, idle)
        return [self._take(holder, draw, at) for draw in draws]

    def give(self, holder: str, given: Sequence[Given], at: Instant) -> list[State]:
        """Takes note of what became of units; the counters' states."""
        self._renew(holder, at)
        states = []
        for limit, free, over, taken_at in given:
            kept = self._of(limit, at)
            if free:
                kept.counter.give(limit, free, taken_at, at)
            kept.counter.take(limit, over, at)
            kept.hold(limit, holder, over - free)
            states.append(kept.counter.state)
        return states

    def weigh(self, holder: str, weighed: Sequence[Weighed], at: Instant) -> list[State]:
        """Goes by what the books say, where they say something newer; the counters' states.

        What holders have that live no more is forgotten: the books know what became of it. What those have that are not
        known here is what the books know of it.
        """
        self._renew(holder, at)
        states = []
        for limit, more, place, living in weighed:
            kept = self._of(limit, at)
            since = kept.counter.take(limit, 0, at)
            if place > kept.place:
                kept.place = place
                known = kept.held
                kept.held = {
                    name: known.get(name, own.had) for name, own in living.items() if name in known or any(own)
                }
                counted = sum(own.counted for own in living.values())
                kept.counter = Counter.of((max(0, more + sum(kept.held.values()) - counted), since))
            states.append(kept.counter.state)
        return states

    def look(self, holder: str, asked: Sequence[tuple[Limit, bool]], at: Instant) -> list[bool]:
        """Which of the limits are scarce. With each is said whether the holder has nothing of it idle, for certain."""
        self._renew(holder, at)
        scarce = []
        for limit, has_none in asked:
            kept = self._of(limit, at)
            if has_none:
                kept.lent.pop(holder, None)
            scarce.append(kept.is_scarce(limit, at))
        return scarce

    def sweep(self, at: Instant) -> None:
        """Forgets what is as if it had never been, and what can be had from the books; to be called about once a
        minute.
        """
        for name, kept in list(self._kept.items()):
            _, named_at = kept.counter.state
            if kept.limit.refill == "budget":
                is_old = at - named_at > FORGET_US
            else:
                is_old = kept.counter.used(kept.limit, at) == 0
            if is_old:
                del self._kept[name]
        for holder, until in list(self._leases.items()):
            if at - until > _GONE_US:
                del self._leases[holder]
                self._generations.pop(holder, None)

    def _take(self, holder: str, draw: Draw, at: Instant) -> Taken:
        limit, need, wish = draw
        kept = self._of(limit, at)
        counter = kept.counter
        counter.take(limit, need, at)
        scarce = kept.is_scarce(limit, at)
        ahead = 0
        if not scarce:
            holders = sum(1 for other in self._leases if self._lives(other, at))
            ahead = min(wish, max(0, limit.units - counter.used(limit, at)) // (SHARES * holders))
            counter.take(limit, ahead, at)
            kept.lent[holder] = kept.lent.get(holder, 0) + need + ahead
        kept.hold(limit, holder, need + ahead)
        return Taken(ahead, counter.state, scarce)

    def _of(self, limit: Limit, at: Instant) -> _Kept:
        kept = self._kept.get(limit.id)
        if kept is None:
            kept = self._kept[limit.id] = _Kept(limit)
        kept.limit = limit
        if kept.counter.state[1] > at + SET_BACK_US:
            kept.counter = Counter.of(_as_of(limit, kept.counter.state, at))
        return kept

    def _renew(self, holder: str, at: Instant) -> None:
        self._leases[holder] = at + LEASE_US
        if self._lost_at > at + SET_BACK_US:
            self._lost_at = at

    def _lives(self, holder: str, at: Instant) -> bool:
        return at < self._leases.get(holder, 0) <= at + LEASE_US + SET_BACK_US

    def _closed_us(self, at: Instant) -> int:
        return 0 if self._lost_at < 0 else max(0, self._lost_at + REMEMBER_US - at)


def _as_of(limit: Limit, state: State, at: Instant) -> State:
    """The state as it is now where the clock that timed it was ahead and is set right."""
    used, since = state
    if since <= at + SET_BACK_US:
        return state
    is_over = limit.refill == "window" and since // limit.window != at // limit.window
    return 0 if is_over else used, at
