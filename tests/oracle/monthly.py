"""What a deal makes of whole months beside usage: the rest of a minimum, what is above a cap, what credit pays."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from tests.oracle import calendar
from tests.oracle.cases import Deal
from tests.oracle.prices import number

_NOTHING = Fraction(0)
_CHARGED = ("usage", "adjustment", "overage", "reservation", "subscription")
_PAID = (*_CHARGED, "commitment", "shortfall", "minimum", "cap")


class Known(NamedTuple):
    """A line of any invoice so far: its kind, month, rounded amount, and the credit it is of."""

    kind: str
    month: str
    amount: Fraction
    of: str = ""


_Round = Callable[[Fraction], Fraction]


def monthly_lines(
    deal: Deal, closed: Sequence[str], new: Sequence[Known], earlier: Sequence[Known], rounded: _Round
) -> list[Known]:
    """All of it, in whole minor units; new: the other lines of the invoice, earlier: those of invoices before.

    closed: the months of all closes so far, that of this one last.
    """
    added = _true_ups(deal, closed, new, earlier, rounded)
    for more in (_caps, _credits):
        added += more(deal, closed[-1], [*new, *added], earlier, rounded)
    return added


def _true_ups(
    deal: Deal, closed: Sequence[str], new: Sequence[Known], earlier: Sequence[Known], rounded: _Round
) -> list[Known]:
    """Each closed month owes its minimum, whenever it was agreed."""
    if not deal.minimum:
        return []
    found = []
    for month in sorted({*closed, *(line.month for line in new)}):
        of_month = [line for line in (*earlier, *new) if line.month == month]
        used, charged = _sum(of_month, _CHARGED), _sum(of_month, ("minimum",))
        rest = max(_NOTHING, rounded(number(deal.minimum) * share_of(deal, month)) - used) - charged
        found.append(Known("minimum", month, rest))
    return [line for line in found if line.amount]


def _caps(deal: Deal, period: str, new: Sequence[Known], earlier: Sequence[Known], rounded: _Round) -> list[Known]:
    if not deal.cap:
        return []
    found = []
    for month in sorted({period, *(line.month for line in new)}):
        of_month = [line for line in (*earlier, *new) if line.month == month]
        above = _sum(of_month, (*_CHARGED, "commitment")) - rounded(number(deal.cap) * share_of(deal, month))
        found.append(Known("cap", month, -max(_NOTHING, above) - _sum(of_month, ("cap",))))
    return [line for line in found if line.amount]


def _credits(deal: Deal, period: str, new: Sequence[Known], earlier: Sequence[Known], _: _Round) -> list[Known]:
    """Month by month from the oldest: what is open is paid by the credit that expires first, then by the next."""
    found, left = [], {}
    for credit in deal.credits:
        left[credit.name] = number(credit.amount)
        is_bought = any(line.kind == "credit_bought" and line.of == credit.name for line in earlier)
        if not credit.granted and not is_bought and period >= credit.first:
            found.append(Known("credit_bought", credit.first, number(credit.amount), credit.name))
    everything = [*earlier, *new]
    for month in sorted({line.month for line in everything}):
        of_month = [line for line in everything if line.month == month]
        still = max(_NOTHING, _sum(of_month, _PAID))
        for credit in sorted(deal.credits, key=lambda item: (item.expires, item.first)):
            pays = min(still, left[credit.name]) if credit.first <= month < credit.expires else _NOTHING
            still -= pays
            left[credit.name] -= pays
            before = sum((line.amount for line in of_month if line[::3] == ("credit_used", credit.name)), _NOTHING)
            found.append(Known("credit_used", month, -pays - before, credit.name))
    return [line for line in found if line.amount]


def share_of(deal: Deal, month: str) -> Fraction:
    """The share of a month's calendar in which the deal is in force."""
    zone = deal.zone
    begins, ends = calendar.begins(month, zone), calendar.begins(calendar.following(month), zone)
    first = max(begins, date_begins(deal.start, zone))
    last = min(ends, date_begins(deal.end, zone)) if deal.end else ends
    if last <= first:
        return _NOTHING
    year, number_of_month = map(int, month.split("-"))
    days = calendar.month_days(year, number_of_month)
    return Fraction(calendar.wall(last, zone) - calendar.wall(first, zone), days * calendar.DAY)


def date_begins(text: str, zone: str) -> int:
    """The instant at which a date begins."""
    year, month, day = map(int, text.split("-"))
    return calendar.midnight(year, month, day, zone)


def _sum(lines: Sequence[Known], kinds: Sequence[str]) -> Fraction:
    return sum((line.amount for line in lines if line.kind in kinds), _NOTHING)
