"""What one request holds of the limits it meets, from its admission until it is known what it used."""

from entrepot.admission.allotments import Allotment
from entrepot.admission.budgets import ServedBudget
from entrepot.admission.measures import MetLimit, used_up
from entrepot.core.capacity import Limit
from entrepot.core.periods import Instant


class Need:
    """Units that a request needs of one limit, and what has been taken for it. taken_at: the first of those."""

    __slots__ = ("_allotment", "budget", "met", "taken", "taken_at", "units")

    def __init__(self, met: MetLimit, units: int, budget: ServedBudget | None = None) -> None:
        """budget: whose limit it is, where it is one's."""
        self.met = met
        self.units = units
        self.budget = budget
        self.taken = 0
        self.taken_at: Instant = 0
        self._allotment: Allotment | None = None

    @property
    def limit(self) -> Limit:
        """The limit."""
        return self.met.limit

    @property
    def allotment(self) -> Allotment:
        """Where it was taken from."""
        assert self._allotment is not None, "something was taken"
        return self._allotment

    @property
    def missing(self) -> int:
        """What has not been taken yet."""
        return self.units - self.taken

    def take(self, allotment: Allotment) -> None:
        """Takes what is free, and no more than is needed."""
        self._allotment = allotment
        self.taken_at = allotment.taken_at
        self.taken = allotment.take(self.units)

    def add(self, units: int, taken_at: Instant) -> None:
        """More has been taken."""
        self.taken_at = min(self.taken_at, taken_at) if self.taken else taken_at
        self.taken += units

    def put_back(self) -> None:
        """What was taken is free again."""
        self.allotment.put_back(self.taken, self.taken_at)
        self.taken = 0

    def used_up(self, meters: dict[str, int], tier: str) -> int:
        """The units of what was used, by meter, at the tier it was served at."""
        budget = self.budget
        return used_up(self.met, meters, tier) if budget is None else budget.used(meters, tier)


class Hold:
    """All that a request holds. It ends once, in one of the ways marked *."""

    __slots__ = ("_is_open", "_needs")

    def __init__(self, needs: list[Need]) -> None:
        """needs: taken, all of them."""
        self._needs = needs
        self._is_open = True
        for need in needs:
            need.allotment.held += 1

    @property
    def budgets(self) -> tuple[tuple[str, int], ...]:
        """(counter, units) of what it holds of budgets."""
        held = [(need.limit.id, need.taken) for need in self._needs if need.met.is_budget]
        return tuple(held) if held else ()

    def split(self) -> "tuple[Hold, Hold]":
        """* Two holds in its place: what it holds of all but budgets, and of budgets."""
        self._is_open = False
        for need in self._needs:
            need.allotment.held -= 1
        own = [need for need in self._needs if not need.met.is_budget]
        return Hold(own), Hold([need for need in self._needs if need.met.is_budget])

    def settle(self, meters: dict[str, int], tier: str, at: Instant) -> tuple[tuple[str, int], ...]:
        """* What was used is known, at the tier. Returns what is counted for it of budgets, as `budgets`."""
        counted = []
        for need in self._end(at):
            units = need.used_up(meters, tier)
            need.allotment.settle(need.taken, units, need.taken_at)
            if need.met.is_budget:
                counted.append((need.limit.id, units))
        return tuple(counted) if counted else ()

    def end(self, meters: dict[str, int] | None, tier: str, at: Instant) -> tuple[tuple[str, int], ...]:
        """* What was used is known, at the tier, or None: it is not known yet. Returns what is counted of budgets."""
        if meters is not None:
            return self.settle(meters, tier, at)
        self.keep(at)
        return self.budgets

    def release(self, at: Instant) -> None:
        """* Nothing was used, and nothing asked of an upstream."""
        for need in self._end(at):
            need.put_back()

    def keep(self, at: Instant) -> None:
        """* What was used is not known yet: the estimate stands for it."""
        for need in self._end(at):
            need.allotment.settle(need.taken, need.taken, need.taken_at)

    def _end(self, at: Instant) -> list[Need]:
        assert self._is_open, "a hold ends once"
        self._is_open = False
        for need in self._needs:
            allotment = need.allotment
            allotment.held -= 1
            allotment.advance(at)
        return self._needs
