"""Seats: how many are bought, assigned and used, what the unassigned ones cost, and how cohorts of customers grow."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from entrepot.core.periods import Instant, Period, period_of
from entrepot.core.subscriptions import Subscription, seat_days
from entrepot.core.tokens import TOKEN_METERS
from entrepot.core.usage_event import UsageEvent
from entrepot.reporting.figures import decimal_text, money_text, percent_text

# The least seats of each band of customers.
BANDS = (1, 10, 100, 1_000, 10_000)
_MONTHS_OF_QUARTER = 3


class Used(NamedTuple):
    """What one user asked in a month."""

    requests: int
    tokens: int


class SeatUse(msgspec.Struct, frozen=True):
    """A user with a seat in the month, and what was used with it."""

    user: str
    requests: int
    tokens: int


class SeatsOf(msgspec.Struct, frozen=True):
    """A subscription's month. seats, assigned, unassigned: at its end. trued_up: charged then beyond the seats.

    unassigned_cost: of the seats nobody has, for the month. used: users with a seat and a request.
    """

    subscription: str
    customer: str
    customer_name: str
    product: str
    currency: str
    seats: int
    assigned: int
    unassigned: int
    unassigned_cost: str
    trued_up: int
    used: int
    used_percent: str | None
    requests_per_user: str | None
    users: tuple[SeatUse, ...]


class Cohort(msgspec.Struct, frozen=True):
    """Customers with so many seats of a product at a quarter's end; changes against the quarter before.

    A change is None where there was nothing before.
    """

    product: str
    quarter: str
    band: str
    customers: int
    seats: int
    customers_change_percent: str | None
    seats_change_percent: str | None


class SeatsReport(msgspec.Struct, frozen=True):
    """The report of a month."""

    period: str
    subscriptions: tuple[SeatsOf, ...]
    cohorts: tuple[Cohort, ...]


class Buyer(NamedTuple):
    """Who has a subscription, as its contract has it."""

    name: str
    zone: str
    currency: str


def used_by(events: Iterable[UsageEvent]) -> dict[str, Used]:
    """{key or principal: what it used}."""
    requests: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for event in events:
        requests[event.key] += 1
        tokens[event.key] += sum(units for meter, units in event.meters.items() if meter in TOKEN_METERS)
    return {key: Used(requests[key], tokens[key]) for key in requests}


def seats_report(
    period: Period,
    subscriptions: Sequence[Subscription],
    buyers: Mapping[str, Buyer],
    usage: Callable[[str, Instant, Instant], Mapping[str, Used]],
) -> SeatsReport:
    """The report. buyers: {customer: who that is}. usage: of a customer's keys and principals between two instants."""
    standing = [
        item
        for item in subscriptions
        if item.begins < period.end(buyers[item.customer].zone) and period.start(buyers[item.customer].zone) < item.ends
    ]
    return SeatsReport(
        period=str(period),
        subscriptions=tuple(_seats_of(item, buyers[item.customer], period, usage) for item in standing),
        cohorts=tuple(_cohorts(subscriptions, buyers, period)),
    )


def _seats_of(
    of: Subscription, buyer: Buyer, period: Period, usage: Callable[[str, Instant, Instant], Mapping[str, Used]]
) -> SeatsOf:
    begins, ends = period.start(buyer.zone), period.end(buyer.zone)
    used = usage(of.customer, begins, ends)
    users = tuple(SeatUse(user, *used.get(user, Used(0, 0))) for user in sorted(of.assigned(begins, ends)))
    seats, assigned = of.seats_at(ends - 1), len(of.assigned(ends - 1, ends))
    active = [user for user in users if user.requests]
    unassigned = max(0, seats - assigned)
    requests = sum(user.requests for user in users)
    return SeatsOf(
        subscription=of.id,
        customer=of.customer,
        customer_name=buyer.name,
        product=of.product,
        currency=buyer.currency,
        seats=seats,
        assigned=assigned,
        unassigned=unassigned,
        unassigned_cost=money_text(unassigned * of.each_pico, buyer.currency),
        trued_up=seat_days(of, period, buyer.zone).trued_up,
        used=len(active),
        used_percent=percent_text(Fraction(len(active), len(users))) if users else None,
        requests_per_user=decimal_text(Fraction(requests, len(users))) if users else None,
        users=users,
    )


def _cohorts(subscriptions: Iterable[Subscription], buyers: Mapping[str, Buyer], period: Period) -> Iterator[Cohort]:
    by_product: dict[str, list[Subscription]] = defaultdict(list)
    for item in subscriptions:
        by_product[item.product].append(item)
    for product, items in sorted(by_product.items()):
        first = min(period_of(item.begins, buyers[item.customer].zone) for item in items)
        before: dict[int, tuple[int, int]] = {}
        for last in _quarter_ends(first, period):
            now = _banded(items, buyers, last)
            for band in BANDS:
                (customers, seats), (old_customers, old_seats) = now.get(band, (0, 0)), before.get(band, (0, 0))
                if customers or old_customers:
                    yield Cohort(
                        product=product,
                        quarter=f"{last.year}-Q{_quarter(last) + 1}",
                        band=band_name(band),
                        customers=customers,
                        seats=seats,
                        customers_change_percent=_change(customers, old_customers),
                        seats_change_percent=_change(seats, old_seats),
                    )
            before = now


def band_name(least: int) -> str:
    """ "10-99", "10000+"."""
    above = next((band for band in BANDS if band > least), None)
    return f"{least}+" if above is None else f"{least}-{above - 1}"


def _banded(items: Iterable[Subscription], buyers: Mapping[str, Buyer], last: Period) -> dict[int, tuple[int, int]]:
    """{least seats of a band: (customers, their seats)} at the end of a month."""
    seats: Counter[str] = Counter()
    for item in items:
        ends = last.end(buyers[item.customer].zone)
        if item.begins < ends <= item.ends:
            seats[item.customer] += item.seats_at(ends - 1)
    found: dict[int, tuple[int, int]] = {}
    for count in filter(None, seats.values()):
        band = max(least for least in BANDS if least <= count)
        customers, together = found.get(band, (0, 0))
        found[band] = (customers + 1, together + count)
    return found


def _change(now: int, before: int) -> str | None:
    return percent_text(Fraction(now - before, before)) if before else None


def _quarter(month: Period) -> int:
    return (month.month - 1) // _MONTHS_OF_QUARTER


def _quarter_ends(first: Period, last: Period) -> Iterator[Period]:
    """The last month of each quarter from the first month on; of the last one, the month asked for."""
    month = first
    while month <= last:
        if month == last or month.month % _MONTHS_OF_QUARTER == 0:
            yield month
        month = month.next()
