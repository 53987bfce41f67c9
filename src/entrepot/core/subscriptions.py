"""Subscriptions by the seat: how many seats a customer has, who has them, and how many of them a month charges.

Days and months are those of a zone, the contract's. A seat that comes within a month counts from its day on, that day
included. Within a term seats do not go: the most that were assigned since it began are charged until it ends.
"""

from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import msgspec

from entrepot.core.periods import END_OF_TIME, Instant, Period, parse_instant, period_of


class SeatsFrom(msgspec.Struct, frozen=True):
    """How many seats there are from an instant on, until the next."""

    begins: Instant
    seats: int


class Assignment(msgspec.Struct, frozen=True):
    """That a seat is somebody's in [begins, ends). user: the key or principal that usage is recorded under."""

    user: str
    begins: Instant
    ends: Instant = END_OF_TIME


class Subscription(msgspec.Struct, frozen=True):
    """Seats of a product at a price a month, in terms of so many months from begins on, until ends.

    begins and ends are beginnings of months. each_pico: of a seat and month, in the currency of the invoices.
    """

    id: str
    customer: str
    product: str
    each_pico: int
    begins: Instant
    ends: Instant
    months: int
    minimum: int
    seats: tuple[SeatsFrom, ...]
    assignments: tuple[Assignment, ...] = ()

    def term_of(self, month: Period, zone: str) -> Period:
        """The first month of the term that holds a month."""
        first = period_of(self.begins, zone)
        passed = (month.year - first.year) * 12 + month.month - first.month
        return _after(first, passed - passed % self.months)

    def seats_at(self, at: Instant) -> int:
        """How many seats were bought by then."""
        return next((change.seats for change in reversed(self.seats) if change.begins <= at), 0)

    def assigned(self, begins: Instant, ends: Instant) -> set[str]:
        """Who has a seat at any time of [begins, ends)."""
        return {item.user for item in self.assignments if item.begins < ends and begins < item.ends}


class SeatDays(NamedTuple):
    """Seats times days of a month, which has so many days.

    bought: seats at its beginning; added: those that came within it; true_up: those assigned beyond them. trued_up: how
    many of these there are on its last day.
    """

    bought: int
    added: int
    true_up: int
    days: int
    trued_up: int


def seat_days(subscription: Subscription, month: Period, zone: str) -> SeatDays:
    """What a month charges for."""
    begins, ends = subscription.term_of(month, zone).start(zone), month.start(zone)
    peak = max((_assigned(subscription, day) for day in _days(subscription, begins, ends, zone)), default=0)
    bounds = _month_days(month, zone)
    first = subscription.seats_at(bounds[0][0])
    added = true_up = beyond = 0
    for day in bounds:
        seats = subscription.seats_at(day[1] - 1)
        peak = max(peak, _assigned(subscription, day))
        added += seats - first
        beyond = max(0, peak - seats)
        true_up += beyond
    return SeatDays(first * len(bounds), added, true_up, len(bounds), beyond)


_Day = tuple[Instant, Instant]


def _assigned(subscription: Subscription, day: _Day) -> int:
    return len(subscription.assigned(*day))


def _days(subscription: Subscription, begins: Instant, ends: Instant, zone: str) -> set[_Day]:
    """The days of [begins, ends) on which somebody gets a seat; on no others can there be more than before."""
    gets = {max(item.begins, begins) for item in subscription.assignments if item.begins < ends}
    return {next(day for day in _month_days(period_of(at, zone), zone) if day[0] <= at < day[1]) for at in gets}


@lru_cache(maxsize=1024)
def _month_days(month: Period, zone: str) -> tuple[_Day, ...]:
    """[begins, ends) of each day of a month."""
    after = month.next()
    count = (date(after.year, after.month, 1) - date(month.year, month.month, 1)).days
    edges = [parse_instant(f"{month}-{day:02d}", zone) for day in range(1, count + 1)] + [month.end(zone)]
    return tuple(pairwise(edges))


def _after(month: Period, months: int) -> Period:
    return Period(month.year + (month.month - 1 + months) // 12, (month.month - 1 + months) % 12 + 1)


def is_renewal(subscription: Subscription, at: Instant, zone: str) -> bool:
    """Whether a term begins at the instant."""
    month = period_of(at, zone)
    return at == month.start(zone) and subscription.term_of(month, zone) == month


def next_renewal(subscription: Subscription, at: Instant, zone: str) -> Instant:
    """When the term ends that holds the instant."""
    return _after(subscription.term_of(period_of(at, zone), zone), subscription.months).start(zone)
