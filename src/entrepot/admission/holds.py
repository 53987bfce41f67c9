"""What one request holds of the limits it meets, from its admission until it is known what it used."""

from collections.abc import Sequence
from typing import Final

from entrepot.admission.allotments import Allotment
from entrepot.admission.budgets import ServedBudget
from entrepot.admission.measures import used_up
from entrepot.core.capacity import Limit, ServedLimit, Used
from entrepot.core.periods import Instant

_Used: Final = Used  # Bound once; see decisions/0009.


class Need:
    """Units that a request needs of one limit."""

    __slots__ = ("is_budget", "limit", "measure", "served", "units")

    def __init__(self, served: ServedLimit | ServedBudget, units: int) -> None:
        self.served = served
        self.limit: Limit = served.limit
        self.measure = self.limit.measure
        self.units = units
        self.is_budget = self.limit.refill == "budget"


class Part:
    """What was taken for a need. taken_at: the first of the units."""

    __slots__ = ("allotment", "need", "taken_at", "units")

    def __init__(self, need: Need, allotment: Allotment, units: int, taken_at: Instant) -> None:
        self.need = need
        self.allotment = allotment
        self.units = units
        self.taken_at = taken_at


class Hold:
    """All that a request holds. It ends once, in one of the ways marked *."""

    __slots__ = ("_is_open", "_parts")

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._is_open = True
        for part in parts:
            part.allotment.held += 1

    @property
    def budgets(self) -> tuple[tuple[str, int], ...]:
        """(counter, units) of what it holds of budgets."""
        return tuple((part.need.limit.id, part.units) for part in self._parts if part.need.is_budget)

    def split(self) -> "tuple[Hold, Hold]":
        """* Two holds in its place: what it holds of all but budgets, and of budgets."""
        self._is_open = False
        for part in self._parts:
            part.allotment.held -= 1
        own = [part for part in self._parts if not part.need.is_budget]
        return Hold(own), Hold([part for part in self._parts if part.need.is_budget])

    def settle(self, used: Used, at: Instant) -> tuple[tuple[str, int], ...]:
        """* What was used is known. Returns what is counted for it of budgets, as `budgets`."""
        counted = []
        for part in self._end(at):
            units = 1 if part.need.measure == "requests" else used_up(part.need.served, used)
            part.allotment.settle(part.units, units, part.taken_at)
            if part.need.is_budget:
                counted.append((part.need.limit.id, units))
        return tuple(counted)

    def end(self, meters: dict[str, int] | None, tier: str, at: Instant) -> tuple[tuple[str, int], ...]:
        """* What was used is known, at the tier, or None: it is not known yet. Returns what is counted of budgets."""
        if meters is not None:
            return self.settle(_Used(meters, tier), at)
        self.keep(at)
        return self.budgets

    def release(self, at: Instant) -> None:
        """* Nothing was used, and nothing asked of an upstream."""
        for part in self._end(at):
            part.allotment.put_back(part.units, part.taken_at)

    def keep(self, at: Instant) -> None:
        """* What was used is not known yet: the estimate stands for it."""
        for part in self._end(at):
            part.allotment.settle(part.units, part.units, part.taken_at)

    def _end(self, at: Instant) -> Sequence[Part]:
        assert self._is_open, "a hold ends once"
        self._is_open = False
        for part in self._parts:
            part.allotment.held -= 1
            part.allotment.advance(at)
        return self._parts
