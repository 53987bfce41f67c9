"""Balances at the end of each month, for tools that check them while they read a journal."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import NamedTuple

from entrepot.core.journal import JournalEntry
from entrepot.core.periods import Period, period_of

Place = tuple[str, str]  # Account and currency.


class MonthEnd(NamedTuple):
    """What accounts hold when a month is over, in UTC; those that it moved, or in the last one all there are."""

    period: Period
    balances: dict[Place, int]

    @property
    def next_day(self) -> date:
        """The first day after the month."""
        following = self.period.next()
        return date(following.year, following.month, 1)


class MonthEnds:
    """Sums entries by month, in whatever order they come."""

    def __init__(self) -> None:
        self._moved: dict[Period, dict[Place, int]] = {}

    def add(self, item: JournalEntry) -> None:
        """Takes an entry in."""
        moved = self._moved.setdefault(period_of(item.at, "UTC"), {})
        for leg in item.postings:
            place = (leg.account, leg.currency)
            moved[place] = moved.get(place, 0) + leg.amount_pico

    def ends(self, last: Mapping[Place, int]) -> Iterator[MonthEnd]:
        """Every month that has entries, the earliest first. last: what the books say of now; it stands in the last."""
        held: dict[Place, int] = {}
        for period in sorted(self._moved):
            for place, pico in self._moved[period].items():
                held[place] = held.get(place, 0) + pico
            if period == max(self._moved):
                yield MonthEnd(period, {place: last.get(place, 0) for place in sorted(held.keys() | last.keys())})
            else:
                yield MonthEnd(period, {place: held[place] for place in sorted(self._moved[period])})
