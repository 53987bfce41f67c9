"""Counters of budgets, corrected by the books: what the books know and a counter cannot know is added to it.

Nothing is drawn of a budget before the books have weighed it for this gateway: until then what was spent and held
before is not known. See docs/decisions/0032.

Counters are kept of budgets that requests have met lately. One that none has met for FORGET_US is forgotten, once the
books know of all that had met it; when it is met again, its counter begins with what they say.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from entrepot.core.budgets import Standings, Weight, Weights, place_of
from entrepot.core.capacity import Limit
from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.periods import DAY, MINUTE, Instant
from entrepot.ports.counters import Counters
from entrepot.ports.standings import PublishedStandings

FORGET_US = DAY  # More than any request takes.
_LOOK_BACK_US = MINUTE


class Scale(Protocol):
    """What the place that keeps the counters does with what the books say."""

    def weigh(self, weights: Weights, at: Instant) -> None:
        """Goes by the weights of some budgets from now on."""
        ...

    def forget(self, counters: Collection[str]) -> None:
        """Forgets these counters of budgets, of which nothing is held."""
        ...


class OwnBase:
    """Corrects the counters of a gateway that counts by itself, by what else the books know is used. A Scale.

    correct: adds units to what is used of a limit, or takes them off again. drop: forgets a counter.
    """

    def __init__(
        self, instance: str, correct: Callable[[Limit, int, Instant], None], drop: Callable[[str], None]
    ) -> None:
        self._instance = instance
        self._correct = correct
        self._drop = drop
        self._bases: dict[str, int] = {}

    def weigh(self, weights: Weights, at: Instant) -> None:
        """See Scale. A counter that begins has nothing, so it begins with all that the books know."""
        for weight in weights.rows:
            name, base = weight.limit.id, weight.base(self._instance)
            before = self._bases.get(name)
            more = weight.spent + sum(weight.held.values()) if before is None else base - before
            self._bases[name] = base
            if more:
                self._correct(weight.limit, more, at)

    def forget(self, counters: Collection[str]) -> None:
        """See Scale."""
        for name in counters:
            self._bases.pop(name, None)
            self._drop(name)


class WeighedCounters:
    """Meets the port Counters. instance: this gateway. is_weighed: the books know this gateway."""

    def __init__(self, counters: Counters, scale: Scale, standings: PublishedStandings, instance: str) -> None:
        self._counters = counters
        self._scale = scale
        self._standings = standings
        self._instance = instance
        self._weights: dict[str, Weight] = {}
        self._fresh: dict[str, Weight] | None = None  # That begin with everything, and do not count yet.
        self._living: frozenset[str] = frozenset()
        self._place = -1
        self._through: Instant = 0
        self._met: dict[str, Instant] = {}  # When counters of budgets were asked last.
        self._looked_back_at: Instant = 0
        self.is_weighed = False
        self.is_reading = False  # In the middle of a publication.

    def draw(
        self, draws: Sequence[Draw], at: Instant, done: Callable[[tuple[Grant, ...] | Shortage | None], None]
    ) -> None:
        """See Counters."""
        for draw in draws:
            if draw.limit.refill == "budget" and not self._meet(draw.limit.id, at):
                done(None)
                return
        self._counters.draw(draws, at, done)

    def give(self, returns: Sequence[Return], at: Instant) -> None:
        """See Counters."""
        for item in returns:
            if item.limit.id in self._met:
                self._met[item.limit.id] = at
        self._counters.give(returns, at)

    def spent(self, counter: str) -> int:
        """What is spent of the budget of a counter, as far as the books know."""
        weight = self._weights.get(counter)
        return 0 if weight is None else weight.spent

    @property
    def scarce(self) -> set[str]:
        """See Counters."""
        return self._counters.scarce

    def tick(self, at: Instant) -> None:
        """Takes up what the books have weighed since."""
        self._counters.tick(at)
        for part in self._standings.load_new():
            self._take_up(part, at)
        if at - self._looked_back_at >= _LOOK_BACK_US:
            self._looked_back_at = at
            self._forget()

    def _meet(self, name: str, at: Instant) -> bool:
        """Whether the counter of a budget can be asked; it is weighed when it is met first."""
        weight = self._weights.get(name)
        if weight is None or not self.is_weighed:
            return False
        is_new = name not in self._met
        self._met[name] = at
        if is_new:
            self._weigh((weight,), self._place, self._living, at)
        return True

    def _take_up(self, part: Standings, at: Instant) -> None:
        """What is new counts from now on; what begins with everything does once that includes this gateway."""
        weights = {row.limit.id: row.weight for row in part.budgets}
        self.is_reading = part.left > 0
        if part.is_whole and not part.before:
            self._fresh = {}
        if self._fresh is not None:
            self._fresh |= weights
            if self.is_reading or self._instance not in part.instances:
                return
            before, self._weights, self._fresh = self._weights, self._fresh, None
            weights = {name: self._weights[name] for name in self._met if name in self._weights}
            changed = [item for name, item in weights.items() if before.get(name) != item]
        else:
            changed = [item for name, item in weights.items() if name in self._met and self._weights.get(name) != item]
            self._weights |= weights
        living = frozenset(part.instances)
        if not self.is_reading:
            self._place, self._through = place_of(part), part.through
            self.is_weighed = self._instance in living
            if self._living != living:
                self._living = living
                changed = [self._weights[name] for name in self._met if name in self._weights]
        self._weigh(changed, place_of(part), living, at)

    def _weigh(self, rows: Sequence[Weight], place: int, living: frozenset[str], at: Instant) -> None:
        if rows:
            self._scale.weigh(Weights(living, place, rows), at)

    def _forget(self) -> None:
        """What was met so long ago that the books are through with it."""
        old = [name for name, met_at in self._met.items() if self._through - met_at > FORGET_US]
        if old:
            self._scale.forget(old)
            for name in old:
                del self._met[name]
