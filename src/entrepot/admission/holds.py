"""What one request holds of the limits it meets, from its admission until it is known what it used."""

from collections.abc import Sequence
from typing import NamedTuple

from entrepot.admission.allotments import Allotment
from entrepot.admission.budgets import ServedBudget
from entrepot.admission.measures import used_up
from entrepot.core.capacity import ServedLimit, Used
from entrepot.core.periods import Instant


class Part(NamedTuple):
    """Units of one limit. taken_at: the first of them."""

    served: ServedLimit | ServedBudget
    allotment: Allotment
    units: int
    taken_at: Instant


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
        return tuple((part.served.limit.id, part.units) for part in self._parts if _is_budget(part))

    def settle(self, used: Used, at: Instant) -> tuple[tuple[str, int], ...]:
        """* What was used is known. Returns what is counted for it of budgets, as `budgets`."""
        counted = []
        for part in self._end(at):
            units = used_up(part.served, used)
            part.allotment.settle(part.units, units, part.taken_at)
            if _is_budget(part):
                counted.append((part.served.limit.id, units))
        return tuple(counted)

    def end(self, meters: dict[str, int] | None, tier: str, at: Instant) -> tuple[tuple[str, int], ...]:
        """* What was used is known, at the tier, or None: it is not known yet. Returns what is counted of budgets."""
        if meters is not None:
            return self.settle(Used(meters, tier), at)
        self.keep(at)
        return self.budgets

    def release(self, at: Instant) -> None:
        """* Nothing was used, and nothing asked of an upstream."""
        for _, allotment, units, taken_at in self._end(at):
            allotment.put_back(units, taken_at)

    def keep(self, at: Instant) -> None:
        """* What was used is not known yet: the estimate stands for it."""
        for _, allotment, units, taken_at in self._end(at):
            allotment.settle(units, units, taken_at)

    def _end(self, at: Instant) -> Sequence[Part]:
        assert self._is_open, "a hold ends once"
        self._is_open = False
        for part in self._parts:
            part.allotment.held -= 1
            part.allotment.advance(at)
        return self._parts


def _is_budget(part: Part) -> bool:
    return part.served.limit.refill == "budget"
