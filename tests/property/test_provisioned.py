"""Provisioned units against a second calculation, minute by minute in fractions; and what they must not depend on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.core.invoices import Invoice
from entrepot.core.log_records import LogRecord, Marked, MonthClosed
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, HOUR, MINUTE, Instant, parse_instant
from entrepot.core.prices import Price
from entrepot.core.provisioned import Geography, UnitsFrom
from entrepot.core.tenancy import Deployment, Project
from entrepot.core.terms import Reservation
from entrepot.core.world import World
from entrepot.flows.compare_books import check
from entrepot.ports.books import Books
from tests.property.test_fold import fold_in_pieces
from tests.support.billing import APRIL, MARCH, applied, contract, folded, version, world

KOLKATA = "Asia/Kolkata"
BEGINS = MARCH - 6 * HOUR  # The end of February in Kolkata and in UTC is within the first hours.
HOURS = 30
HOURLY = {"m": 1_000_000_000_007, "n": 370_000_000_001, "later": 2 * PICO}
LATER = MARCH + 5 * HOUR + 17 * MINUTE


def hourly(model: str, pico: int, geography: str = "") -> Price:
    return Price(model, "provisioned_unit_hours", "default", pico, geography)


VERSIONS = (
    version((hourly("m", HOURLY["m"]), hourly("n", HOURLY["n"]))),
    version((hourly("m", HOURLY["later"]), hourly("n", HOURLY["n"])), "2024-03-01T05:17:00Z"),
)

Schedules = Mapping[str, tuple[UnitsFrom, ...]]

MINUTES = st.integers(0, HOURS * 60).map(lambda minute: BEGINS + minute * MINUTE)
SCHEDULES = st.lists(st.tuples(MINUTES, st.sampled_from([0, 15, 20, 100])), max_size=5, unique_by=lambda it: it[0]).map(
    lambda items: tuple(UnitsFrom(*item) for item in sorted(items))
)
RESERVATIONS = st.lists(
    st.tuples(st.sampled_from([5, 20, 60]), MINUTES, MINUTES, st.sampled_from([(), ("m",), ("n", "m")])), max_size=2
).map(
    lambda items: tuple(
        Reservation(f"reservation-{number}", units, 350_000_000_003, min(one, other), max(one, other), models)
        for number, (units, one, other, models) in enumerate(items, start=1)
    )
)


def declared(schedules: Schedules, reservations: Sequence[Reservation]) -> World:
    deployments = [
        Deployment(name, "search", name, kind="provisioned", units=units) for name, units in schedules.items() if units
    ]
    return world(
        *VERSIONS,
        contracts=[contract("acme", zone=KOLKATA, terms=tuple(reservations))],
        projects=[Project("search", "acme")],
        deployments=deployments,
    )


LAST: list[LogRecord] = [MonthClosed(at=APRIL + DAY, period=period) for period in ("2024-02", "2024-03")]


def exact(books: Books) -> dict[tuple[str, str], Fraction]:
    """{(period, what): what it came to over all invoices}, without the zeros."""
    assert list(check(books)) == []
    sums: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for invoice in books.invoices():
        for line in invoice.lines:
            sums[line.period, line.price_class or line.model] += Fraction(line.exact)
    return {key: amount for key, amount in sums.items() if amount}


def expected(schedules: Schedules, reservations: Sequence[Reservation]) -> dict[tuple[str, str], Fraction]:
    """The same, one minute after the other."""
    sums: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for at in range(BEGINS, BEGINS + HOURS * HOUR, MINUTE):
        period = "2024-02" if at < MARCH - 5 * HOUR - 30 * MINUTE else "2024-03"
        left = {item.id: item.units for item in reservations if item.begins <= at < item.ends}
        for item in reservations:
            if item.id in left:
                sums[period, item.id] += Fraction(item.units * item.each_hour_pico, 60 * PICO)
        for name in sorted(schedules):
            units = next((step.units for step in reversed(schedules[name]) if step.begins <= at), 0)
            for item in reservations:
                if item.id in left and (not item.models or name in item.models):
                    covered = min(units, left[item.id])
                    left[item.id] -= covered
                    units -= covered
            price = HOURLY["later"] if name == "m" and at >= LATER else HOURLY[name]
            sums[period, name] += Fraction(units * price, 60 * PICO)
    return {key: amount for key, amount in sums.items() if amount}


def ended(schedules: Schedules) -> Schedules:
    """The schedules, with nothing left at the end."""
    end = BEGINS + HOURS * HOUR
    return {
        name: (*(step for step in units if step.begins < end), UnitsFrom(end, 0)) for name, units in schedules.items()
    }


BOTH = st.fixed_dictionaries({"m": SCHEDULES, "n": SCHEDULES}).map(ended)
MARKS = st.lists(MINUTES.map(lambda at: Marked(at=at + 61)), max_size=4)


@settings(max_examples=60)
@given(BOTH, RESERVATIONS, MARKS)
def test_units_come_to_what_each_minute_comes_to(
    schedules: Schedules, reservations: Sequence[Reservation], marks: list[Marked]
) -> None:
    """To half a pico for each price of a month, whenever they were accrued."""
    found = exact(folded(applied(declared(schedules, reservations)), *marks, *LAST))
    wanted = expected(schedules, reservations)
    assert found.keys() == wanted.keys()
    for key, amount in wanted.items():
        assert abs(found[key] - amount) * PICO <= 1, key


@settings(max_examples=60)
@given(BOTH, RESERVATIONS, MARKS, st.lists(st.tuples(MINUTES, st.sampled_from("mn")), max_size=3))
def test_dates_that_are_told_late_come_to_the_same(
    schedules: Schedules,
    reservations: Sequence[Reservation],
    marks: list[Marked],
    told: list[tuple[Instant, str]],
) -> None:
    """Worlds that knew only the beginning of a schedule, and closes before the last one; all of it dated.

    What such a world says of a deployment holds until a later one says more, so each begins as the last one does.
    """
    begins = {name: (UnitsFrom(BEGINS - HOUR, 0), *units) for name, units in schedules.items()}
    records: list[LogRecord] = []
    for (at, name), mark in zip(sorted(told), [*marks, *marks, *LAST[:1] * 3], strict=False):
        known = {**begins, name: tuple(step for step in begins[name] if step.begins <= at)}
        records += [applied(declared(known, reservations), at), mark]
    late = folded(*records, *LAST, applied(declared(begins, reservations), APRIL + DAY), *LAST)
    assert exact(late) == exact(folded(applied(declared(begins, reservations)), *LAST))


@settings(max_examples=40)
@given(BOTH, MARKS)
def test_numbers_hold_from_when_they_are_applied(schedules: Schedules, marks: list[Marked]) -> None:
    """A world for each change, with what stands then as numbers, bills what the dates would."""
    steps = sorted({step.begins for units in schedules.values() for step in units})
    records: list[tuple[Instant, LogRecord]] = []
    for at in steps:
        standing = {
            name: (UnitsFrom(0, units),)
            for name, schedule in schedules.items()
            if (units := next((step.units for step in reversed(schedule) if step.begins <= at), 0))
        }
        records.append((at, applied(declared(standing, ()), at + 29_000_000)))
    records += [(mark.at, mark) for mark in marks]
    first = applied(declared({}, ()))
    live = folded(first, *(record for _, record in sorted(records, key=lambda item: item[0])), *LAST)
    assert exact(live) == exact(folded(applied(declared(schedules, ())), *LAST))


@settings(max_examples=40)
@given(BOTH, RESERVATIONS, MARKS, st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_how_the_log_is_cut_does_not_matter(
    schedules: Schedules,
    reservations: Sequence[Reservation],
    marks: list[Marked],
    sizes: list[int],
) -> None:
    worlds = [applied(declared({}, reservations)), applied(declared(schedules, reservations), BEGINS)]
    records: list[LogRecord] = [worlds[0], *marks[:2], worlds[1], *marks[2:], *LAST, worlds[0], *LAST]
    assert fold_in_pieces(records, sizes).digest() == fold_in_pieces(records, [100]).digest()


def test_what_a_geography_costs_is_its_own() -> None:
    prices = version((hourly("m", PICO), hourly("m", 2 * PICO, "regional")))

    def total(geography: Geography) -> str:
        deployment = Deployment(
            "d",
            "search",
            "m",
            kind="provisioned",
            geography=geography,
            units=(UnitsFrom(MARCH, 15), UnitsFrom(MARCH + HOUR, 0)),
        )
        invoices: list[Invoice] = folded(
            applied(world(prices, projects=[Project("search", "acme")], deployments=[deployment])), *LAST
        ).invoices()
        return invoices[0].total

    assert (total("global"), total("data_zone"), total("regional")) == ("15.00", "15.00", "30.00")
    assert parse_instant("2024-03-01T05:17:00Z") == LATER
