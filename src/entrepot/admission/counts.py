"""What a process has let through to limits and what not, since it began."""

from bisect import bisect_left
from collections.abc import Iterable

from entrepot.admission.holds import Need
from entrepot.admission.measures import MEASURES
from entrepot.core.capacity import Limit
from entrepot.ports.counters import Grant

FILL_PERCENT = (10, 25, 50, 75, 90, 95, 99, 100)


class Counts:
    """holds: requests admitted; units: of these, by measure; draws: exchanges with the counters, by what came of them.

    spilled: requests that went to another deployment; waiting: that are in queues now; waited: that ever were; refused:
    {(limit, error code): n}; tiers: {(chosen, served at): n}, of those that chose one; fill: how full limits were when
    drawn from, as a histogram of FILL_PERCENT.
    """

    def __init__(self) -> None:
        self.holds = self.spilled = self.waiting = self.waited = 0
        self._units = [0] * len(MEASURES)
        self.draws = {"granted": 0, "short": 0, "lost": 0}
        self.refused: dict[tuple[str, str], int] = {}
        self.tiers: dict[tuple[str, str], int] = {}
        self.fill = [0] * (len(FILL_PERCENT) + 2)

    @property
    def units(self) -> dict[str, int]:
        """See above."""
        return {measure: units for measure, units in zip(MEASURES, self._units, strict=True) if units}

    def held(self, needs: list[Need]) -> None:
        """A request was admitted."""
        self.holds += 1
        for need in needs:
            self._units[need.met.number] += need.taken

    def granted(self, limits: Iterable[Limit], grants: Iterable[Grant]) -> None:
        """The counters gave what was asked for."""
        self.draws["granted"] += 1
        for limit, grant in zip(limits, grants, strict=True):
            percent = 100 - 100 * grant.left // max(1, limit.units)
            self.fill[bisect_left(FILL_PERCENT, percent)] += 1
            self.fill[-1] += percent

    def served_at(self, chosen: str, used: str) -> None:
        """A request, or its deployment, chose a tier of service."""
        self.tiers[chosen, used] = self.tiers.get((chosen, used), 0) + 1

    def refuse(self, limit: str, code: str) -> None:
        """A request was refused."""
        self.refused[limit, code] = self.refused.get((limit, code), 0) + 1
