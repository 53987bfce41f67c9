"""What one request holds of the limits it meets, from its admission until it is known what it used."""

from collections.abc import Sequence
from typing import NamedTuple

from entrepot.admission.allotments import Allotment
from entrepot.admission.measures import used_up
from entrepot.core.capacity import ServedLimit, Used
from entrepot.core.periods import Instant


class Part(NamedTuple):
    """Units of one limit. taken_at: the first of them."""

    served: ServedLimit
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

    def end(self, meters: dict[str, int] | None, tier: str, at: Instant) -> None:
        """* What was used is known, at the tier, or None: it is not known yet."""
        if meters is None:
            self.keep(at)
        else:
            self.settle(Used(meters, tier), at)

    def settle(self, used: Used, at: Instant) -> None:
        """* What was used is known."""
        for served, allotment, units, taken_at in self._end(at):
            allotment.settle(units, used_up(served, used), taken_at)

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
