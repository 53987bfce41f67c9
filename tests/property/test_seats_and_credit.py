"""Seats against a calendar, credit against a purse; and that what is told late comes to what it would have in time."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.core.invoices import Invoice
from entrepot.core.log_records import LogRecord, MonthClosed
from entrepot.core.money import PICO, parse_pico
from entrepot.core.periods import END_OF_TIME, Period, instant_of, parse_instant
from entrepot.core.prices import Price
from entrepot.core.subscriptions import Assignment, SeatsFrom, Subscription, seat_days
from entrepot.core.terms import Cap, Credit, Minimum, Term
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from entrepot.flows.compare_books import check
from entrepot.ports.books import Books
from tests.support.billing import applied, contract, folded, recorded, usage, version, world

BERLIN = "Europe/Berlin"
FIRST = date(2024, 1, 1)
MONTHS = ("2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2024-06", "2024-07")
CENT = PICO // 100

DAYS = st.integers(0, 212)  # Through July.


def at(day: int, hour: int = 0) -> int:
    moment = FIRST + timedelta(days=day)
    return instant_of(datetime(moment.year, moment.month, moment.day, hour, tzinfo=ZoneInfo(BERLIN)))


BOUGHT = st.lists(st.tuples(DAYS, st.integers(0, 23), st.integers(1, 30)), max_size=4, unique_by=lambda item: item[0])
ASSIGNED = st.lists(st.tuples(st.integers(0, 9), DAYS, st.integers(1, 100), st.integers(0, 23)), max_size=8)


def subscription(
    bought: Sequence[tuple[int, int, int]], assigned: Sequence[tuple[int, int, int, int]], months: int
) -> Subscription:
    """Seats only ever rise here, except at a renewal where they may be anything."""
    seats = [SeatsFrom(at(0), 3)]
    for day, hour, more in sorted(bought):
        if at(day, hour) > seats[-1].begins:
            seats.append(SeatsFrom(at(day, hour), seats[-1].seats + more))
    assignments = [Assignment(f"u{who}", at(day, hour), at(day + length, hour)) for who, day, length, hour in assigned]
    return Subscription(
        "s", "acme", "desk", 29_990_000_000_007, at(0), END_OF_TIME, months, 1, tuple(seats), tuple(assignments)
    )


def oracle(of: Subscription, month: str) -> tuple[int, int, int, int]:
    """Day by day from the beginning of the term, by dates of the calendar."""
    year, number = map(int, month.split("-"))
    first = date(year, number, 1)
    begins = date(year, (number - 1) // of.months * of.months + 1, 1)
    day, peak, found = begins, 0, [0, 0, 0, 0]
    while (day.year, day.month) <= (year, number):
        start, end = at((day - FIRST).days), at((day - FIRST).days + 1)
        peak = max(peak, len({item.user for item in of.assignments if item.begins < end and item.ends > start}))
        if day >= first:
            seats = max((item.begins, item.seats) for item in of.seats if item.begins < end)[1]
            at_first = max((item.begins, item.seats) for item in of.seats if item.begins <= at((first - FIRST).days))[1]
            found = [found[0] + at_first, found[1] + seats - at_first, found[2] + max(0, peak - seats), found[3] + 1]
        day += timedelta(days=1)
    return found[0], found[1], found[2], found[3]


@settings(max_examples=150)
@given(BOUGHT, ASSIGNED, st.sampled_from([1, 3, 12]), st.sampled_from(MONTHS))
def test_seats_are_counted_by_the_days_of_the_calendar(
    bought: list[tuple[int, int, int]], assigned: list[tuple[int, int, int, int]], months: int, month: str
) -> None:
    of = subscription(bought, assigned, months)
    year, number = map(int, month.split("-"))
    assert seat_days(of, Period(year, number), BERLIN)[:4] == oracle(of, month)


def declared(subscriptions: Sequence[Subscription] = (), terms: Sequence[Term] = ()) -> World:
    made = world(
        version((Price("m", "images", "default", CENT),), "2023-12-01"),
        contracts=[contract("acme", zone=BERLIN, effective_from=at(0), terms=tuple(terms))],
    )
    return msgspec.structs.replace(made, subscriptions=tuple(subscriptions))


def closes(months: Sequence[str] = MONTHS) -> list[LogRecord]:
    return [MonthClosed(at=parse_instant("2024-09-01"), period=month) for month in months]


def sums(invoices: Sequence[Invoice]) -> dict[tuple[str, str, str], int]:
    """{(service period, kind, class): exact pico over all invoices}, without the zeros."""
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for invoice in invoices:
        for line in invoice.lines:
            kind = "usage" if line.kind == "adjustment" else line.kind
            found[line.period, kind, line.price_class] += parse_pico(line.exact)
    return {key: pico for key, pico in found.items() if pico}


@settings(max_examples=40)
@given(BOUGHT, ASSIGNED, st.integers(0, 4), st.integers(0, 8), st.integers(1, 7))
def test_seats_that_are_told_late_come_to_the_same(
    bought: list[tuple[int, int, int]],
    assigned: list[tuple[int, int, int, int]],
    bought_known: int,
    assigned_known: int,
    closed: int,
) -> None:
    whole = subscription(bought, assigned, 3)
    part = subscription(sorted(bought)[:bought_known], assigned[:assigned_known], 3)
    late = folded(
        applied(declared([part])), *closes(MONTHS[:closed]), applied(declared([whole])), *closes(MONTHS[closed - 1 :])
    )
    in_time = folded(applied(declared([whole])), *closes())
    assert sums(late.invoices()) == sums(in_time.invoices())
    for month in MONTHS:
        bought_days, added, true_up, days = oracle(whole, month)
        exact = Fraction(whole.each_pico * (bought_days + added + true_up), days)
        charged = sum(pico for (period, _, _), pico in sums(late.invoices()).items() if period == month)
        assert abs(charged - exact) * 2 <= 3  # A pico's half for each line.


# Credits over whole months of half a year, with ends in any of them.
EDGES = st.tuples(st.integers(0, 5), st.integers(1, 6)).map(lambda item: (item[0], min(6, item[0] + item[1])))
CREDITS = st.lists(st.tuples(st.integers(1, 9000), EDGES, st.booleans()), max_size=4).map(
    lambda items: [
        Credit(f"credit-{number}", cents * CENT, month_begins(first), month_begins(last), granted)
        for number, (cents, (first, last), granted) in enumerate(items, start=1)
    ]
)
EVENTS = st.lists(st.tuples(DAYS, st.integers(1, 3000)), max_size=10).map(
    lambda items: [usage(f"{n:032x}", at(day, 12), meters={"images": cents}) for n, (day, cents) in enumerate(items)]
)


def month_begins(number: int) -> int:
    return parse_instant(f"2024-{number + 1:02d}-01", BERLIN)


def purse(agreed: Sequence[Credit], due: dict[int, int]) -> dict[tuple[int, str], int]:
    """What each credit pays of each month, a cent at a time."""
    left = {credit.id: credit.amount_pico // CENT for credit in agreed}
    paid: dict[tuple[int, str], int] = defaultdict(int)
    for month in sorted(due):
        for _ in range(due[month]):
            good = [item for item in agreed if item.begins <= month_begins(month) < item.ends and left[item.id]]
            if good:
                first = min(good, key=lambda item: (item.ends, item.begins, item.id))
                left[first.id] -= 1
                paid[month, first.id] += 1
    return paid


LIMITS = st.sampled_from(
    [(), (Cap(20_00 * CENT),), (Minimum(15_00 * CENT),), (Cap(25_00 * CENT), Minimum(5_00 * CENT))]
)


@settings(max_examples=80, deadline=None)
@given(CREDITS, EVENTS, LIMITS, st.data())
def test_credit_pays_as_a_purse_does_however_usage_arrives(
    agreed: list[Credit], events: list[UsageEvent], limits: tuple[Term, ...], data: st.DataObject
) -> None:
    terms = [*limits, *agreed]
    mixed = data.draw(st.permutations(recorded(*events)))
    cut = data.draw(st.integers(0, len(mixed)))
    closed = data.draw(st.integers(1, len(MONTHS)))
    late = folded(
        applied(declared((), terms)),
        *mixed[:cut],
        *closes(MONTHS[:closed]),
        *mixed[cut:],
        *closes(MONTHS[closed - 1 :]),
    )
    in_time = folded(applied(declared((), terms)), *recorded(*events), *closes())
    assert sums(late.invoices()) == sums(in_time.invoices())
    due: dict[int, int] = defaultdict(int)
    for (period, kind, _), pico in sums(in_time.invoices()).items():
        if not kind.startswith("credit"):
            due[int(period[-2:]) - 1] += pico // CENT
    paid = {
        (int(period[-2:]) - 1, name): -pico // CENT
        for (period, kind, name), pico in sums(in_time.invoices()).items()
        if kind == "credit_used"
    }
    assert paid == dict(purse(agreed, due))
    for books in (late, in_time):
        _check_ledger(books, agreed, paid)


def _check_ledger(books: Books, agreed: Sequence[Credit], paid: dict[tuple[int, str], int]) -> None:
    """Bought, used, expired: nothing is left, for all of it is over by July."""
    assert list(check(books)) == []
    balances = {account: pico for (account, _), pico in books.balances().items()}
    used = {item.id: sum(cents for (_, name), cents in paid.items() if name == item.id) * CENT for item in agreed}
    lost = sum(item.amount_pico - used[item.id] for item in agreed if not item.granted)
    given = sum(used[item.id] for item in agreed if item.granted)
    assert balances.get("liabilities:credit:acme", 0) == 0
    assert balances.get("income:breakage", 0) == -lost
    assert balances.get("income:grants", 0) == given
    assert balances.get("assets:receivable:accrued:acme", 0) == 0
    totals = sum(parse_pico(invoice.total) for invoice in books.invoices())
    assert balances.get("assets:receivable:invoiced:acme", 0) == totals
