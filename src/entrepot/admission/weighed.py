"""Counters of budgets that agree with the books: whatever the books know and they cannot know is added to them.

Nothing is drawn of a budget before the books have weighed it for this gateway: until then what was spent and held
before is not known. See docs/decisions/0032.
"""

from collections.abc import Callable, Sequence

from entrepot.core.budgets import Standings
from entrepot.core.capacity import Limit
from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.periods import Instant
from entrepot.ports.counters import Counters
from entrepot.ports.standings import PublishedStandings

# What the place that keeps the counters does with what the books say.
Weigh = Callable[[Standings, Instant], None]


class OwnBase:
    """What is used of budgets beside the counters of one gateway, which nobody else draws from. Meets Weigh.

    correct: adds units to what is used of a limit, or takes them off again.
    """

    def __init__(self, instance: str, correct: Callable[[Limit, int, Instant], None]) -> None:
        self._instance = instance
        self._correct = correct
        self._bases: dict[str, int] = {}

    def __call__(self, standings: Standings, at: Instant) -> None:
        for standing in standings.budgets:
            base = standing.base((self._instance,))
            more = base - self._bases.get(standing.limit.id, 0)
            if more:
                self._bases[standing.limit.id] = base
                self._correct(standing.limit, more, at)


class WeighedCounters:
    """Meets the port Counters. instance: this gateway. is_weighed: the books know this gateway."""

    def __init__(self, counters: Counters, weigh: Weigh, standings: PublishedStandings, instance: str) -> None:
        self._counters = counters
        self._weigh = weigh
        self._standings = standings
        self._instance = instance
        self._spent: dict[str, int] = {}
        self.is_weighed = False

    def draw(
        self, draws: Sequence[Draw], at: Instant, done: Callable[[tuple[Grant, ...] | Shortage | None], None]
    ) -> None:
        """See Counters."""
        for draw in draws:
            if draw.limit.refill == "budget" and draw.limit.id not in self._spent:
                done(None)
                return
        self._counters.draw(draws, at, done)

    def give(self, returns: Sequence[Return], at: Instant) -> None:
        """See Counters."""
        self._counters.give(returns, at)

    def spent(self, counter: str) -> int:
        """What is spent of the budget of a counter, as far as the books know."""
        return self._spent.get(counter, 0)

    @property
    def scarce(self) -> frozenset[str]:
        """See Counters."""
        return self._counters.scarce

    def tick(self, at: Instant) -> None:
        """Takes up what the books have weighed since."""
        self._counters.tick(at)
        standings = self._standings.load_new()
        if standings is not None and self._instance in standings.instances:
            self._weigh(standings, at)
            self._spent = {standing.limit.id: standing.spent for standing in standings.budgets}
            self.is_weighed = True
