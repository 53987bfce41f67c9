"""What is paid for being there: provisioned units and their reservations by the minute, seats by the day."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from tests.oracle import calendar
from tests.oracle.cases import UNIT_HOURS, CountFrom, Deal, Desk, Edition, Reserved, Row, Units
from tests.oracle.monthly import date_begins
from tests.oracle.prices import in_pico, number


class Stood(NamedTuple):
    """Unit minutes of an hour at one price. hour: its beginning, or that of the month within it."""

    hour: int
    edition: Edition
    deployment: str
    model: str
    geography: str
    month: str
    row: Row
    minutes: int


class Held(NamedTuple):
    """Minutes of a reservation in a month: all of them, and those that covered units."""

    minutes: int = 0
    used: int = 0


def known(steps: Iterable[CountFrom], closes: int) -> list[CountFrom]:
    """What has been said by a close."""
    return [step for step in steps if step.arrives <= closes]


def count_at(steps: Iterable[CountFrom], at: int) -> int:
    """How many there are at an instant."""
    begun = [step for step in steps if step.at <= at]
    return begun[-1].number if begun else 0


def stood(
    deal: Deal, all_units: Sequence[Units], until: int, closes: int
) -> tuple[list[Stood], dict[tuple[str, Reserved], Held]]:
    """(what no reservation covers, {(month, reservation): its minutes}) before an instant, by what a close knows.

    Cut at every change and every hour, so that nothing changes between two cuts.
    """
    reserved = [item for item in deal.reserved if item.arrives <= closes]
    schedules = sorted((units.deployment, units, known(units.steps, closes)) for units in all_units)
    changes = [step.at for _, _, steps in schedules for step in steps]
    changes += [at for item in reserved for at in (item.begins, item.ends)]
    paid: list[Stood] = []
    held: dict[tuple[str, Reserved], Held] = {}
    for begins, ends in _cuts(deal, changes, until):
        minutes = (ends - begins) // calendar.MINUTE
        month = calendar.month_of(begins, deal.zone)
        hour = max(begins - begins % calendar.HOUR, calendar.begins(month, deal.zone))
        edition = [item for item in deal.editions if date_begins(item.date, deal.zone) <= begins][-1]
        covered = {item: 0 for item in reserved if item.begins <= begins < item.ends}
        for deployment, units, steps in schedules:
            count = count_at(steps, begins)
            for item, already in covered.items():
                if (not item.models or units.model in item.models) and item.geography in (None, units.geography):
                    here = min(count, item.number - already)
                    covered[item] = already + here
                    count -= here
            if count:
                row = unit_row(edition, units)
                of = (hour, edition, deployment, units.model, units.geography, month, row)
                paid.append(Stood(*of, count * minutes))
        for item, count in covered.items():
            before = held.get((month, item), Held())
            held[month, item] = Held(before.minutes + item.number * minutes, before.used + count * minutes)
    return paid, held


def _cuts(deal: Deal, changes: Sequence[int], until: int) -> Iterable[tuple[int, int]]:
    """The pieces of the deal's time between the first and the last of the changes."""
    begins = max(min(changes, default=until), date_begins(deal.start, deal.zone))
    ends = min(max(changes, default=0), until, date_begins(deal.end, deal.zone) if deal.end else until)
    if begins >= ends:
        return ()
    edges = {begins, ends, *changes, *range(begins - begins % calendar.HOUR, ends, calendar.HOUR)}
    edges |= {date_begins(edition.date, deal.zone) for edition in deal.editions}
    month = calendar.month_of(begins, deal.zone)
    while calendar.begins(month, deal.zone) < ends:
        edges.add(calendar.begins(month, deal.zone))
        month = calendar.following(month)
    return pairwise(sorted(at for at in edges if begins <= at <= ends))


def unit_row(edition: Edition, units: Units) -> Row:
    """The price of a deployment's units: that of its geography, or else the one for all others."""
    rows = {row.of: row for row in edition.rows if (row.model, row.meter) == (units.model, UNIT_HOURS)}
    return rows.get(units.geography) or rows[""]


def served_by_units(all_units: Iterable[Units], deployment: str, at: int, closes: int) -> bool:
    """Whether a request came to units that are paid for anyway."""
    return any(count_at(known(units.steps, closes), at) > 0 for units in all_units if units.deployment == deployment)


class Seated(NamedTuple):
    """A month's seats of one kind. quantity: seats, a day being its part of the month."""

    month: str
    product: str
    of: str
    price: str
    quantity: Fraction
    exact: Fraction


def seated(deal: Deal, desk: Desk, period: str, closes: int) -> Iterator[Seated]:
    """What each month until the period comes to by what is known: bought at its beginning, added in it, trued up."""
    month = desk.first
    while month <= period and month != desk.last:
        begins = calendar.begins(month, deal.zone)
        if date_begins(deal.start, deal.zone) <= begins and (not deal.end or begins < date_begins(deal.end, deal.zone)):
            days = _days(month, deal.zone)
            for of, seat_days in zip(("", "added", "true_up"), _seat_days(deal, desk, month, closes), strict=True):
                share = Fraction(seat_days, len(days))
                exact = in_pico(number(desk.price) * share)
                yield Seated(month, desk.product, of, desk.price, in_pico(share), exact)
        month = calendar.following(month)


def _seat_days(deal: Deal, desk: Desk, month: str, closes: int) -> tuple[int, int, int]:
    """(seats at the month's beginning, those that came within it, those assigned beyond them), day by day."""
    steps = known(desk.seats, closes)
    holders = [holder for holder in desk.holders if holder.arrives <= closes]
    bought = added = beyond = most = 0
    first = count_at(steps, calendar.begins(month, deal.zone))
    for of_term in _term(desk, month):
        for begins, ends in _days(of_term, deal.zone):
            most = max(most, len({item.user for item in holders if item.begins < ends and item.ends > begins}))
            if of_term == month:
                seats = count_at(steps, ends - 1)  # One that comes within a day counts from that day on.
                bought += first
                added += seats - first
                beyond += max(0, most - seats)
    return bought, added, beyond


def _term(desk: Desk, month: str) -> list[str]:
    """The months of a term up to this one."""
    months = [desk.first]
    while months[-1] != month:
        months.append(calendar.following(months[-1]))
    return months[(len(months) - 1) // desk.months * desk.months :]


@cache
def _days(month: str, zone: str) -> list[tuple[int, int]]:
    year, number_of_month = map(int, month.split("-"))
    days = range(1, calendar.month_days(year, number_of_month) + 1)
    begins = [calendar.midnight(year, number_of_month, day, zone) for day in days]
    return list(pairwise([*begins, calendar.begins(calendar.following(month), zone)]))
