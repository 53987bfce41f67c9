"""A past month under a new world: by readings and by events the same, and the same as if it had been so then."""

from collections.abc import Iterable

import msgspec
import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.bills import bill, rebill
from entrepot.core.invoices import Invoice
from entrepot.core.log_records import Marked
from entrepot.core.money import parse_pico
from entrepot.core.periods import DAY, HOUR, MINUTE, Period, parse_instant, parse_period
from entrepot.core.price_windows import PriceWindow
from entrepot.core.prices import Price, PriceBookVersion, Step
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.tenancy import Contract
from entrepot.core.terms import SHARE, Commitment, Discount, Minimum
from entrepot.core.tokens import UNIT_HOURS
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World, index_of
from entrepot.flows.price_diff import PriceDiff, Usage, newest_terms, price_diff
from entrepot.ports.books import Books
from tests.property.test_provisioned import declared as provisioned
from tests.support.billing import MARCH, applied, contract, folded, prices, recorded, usage, version, world

PERIOD = parse_period("2024-03")
JUNE = parse_instant("2024-06-01")
CUSTOMERS = ("acme", "beta", "zeta")
OLD = prices(("m", "input_tokens", "10"), ("m", "output_tokens", "30"), ("n", "input_tokens", "1"))
NEW = prices(("m", "input_tokens", "12"), ("m", "output_tokens", "24"), ("n", "input_tokens", "1"))
STEPPED = Price("m", "input_tokens", "default", 0, mode="graduated", steps=(Step(5000, 10**7), Step(None, 10**6)))
AT_PEAK = Price("m", "input_tokens", "default", 20_000_000, "peak")
PEAK = PriceWindow("peak", "Asia/Kolkata", (0, 1, 2, 3, 4), 9 * 60 + 15, 18 * 60)


def events() -> list[UsageEvent]:
    """A month of three customers at odd minutes, on two models."""
    return [
        usage(
            f"{customer}-{number}",
            MARCH + number * 7 * HOUR + (number * 13 % 60) * MINUTE,
            customer=customer,
            model="mn"[number % 5 == 4],
            meters={"input_tokens": 1000 + number} | ({"output_tokens": 100 + number} if number % 5 != 4 else {}),
        )
        for customer in CUSTOMERS
        for number in range(100)
    ]


def declared(*versions: object, **terms: tuple[object, ...]) -> World:
    """Three customers; terms: of their contracts."""
    contracts = [contract(name, terms=terms.get(name, ()), zone=_zone(name)) for name in CUSTOMERS]
    return world(*versions, contracts=contracts, customers=CUSTOMERS)  # type: ignore[arg-type]


def _zone(customer: str) -> str:
    return "Asia/Kolkata" if customer == "beta" else "UTC"


def booked(now: World) -> Books:
    return folded(applied(now), *recorded(*events()), Marked(at=MARCH + 40 * DAY))


def scratch(under: World, counted: Usage, first: Period, last: Period) -> Iterable[Invoice]:
    return rebill(open_books(":memory:"), under, counted, first, last)


def differ(now: World, candidate: World, *, as_of: int | None = None, by_events: bool = False) -> PriceDiff:
    books = booked(now)
    terms = index_of(books.worlds())
    assert terms is not None
    return price_diff(books, terms, candidate, PERIOD, scratch, as_of=as_of, by_events=by_events)


CANDIDATES = {
    "dearer and cheaper": declared(version(NEW)),
    "a new version in June": declared(version(OLD), version(NEW, "2024-06-01")),
    "by quantity": declared(version((*OLD[1:], STEPPED))),
    "by the hour": declared(msgspec.structs.replace(version((*OLD, AT_PEAK)), windows=(PEAK,))),
    "by length": declared(version((*OLD, Price("m", "input_tokens", "default", 5_000_000, "above_1050")))),
    "discounts, minimums, commitments": declared(
        version(OLD),
        acme=(Discount(SHARE // 10, ("m",)),),
        beta=(Minimum(50 * 10**12),),
        zeta=(Commitment(10**12, MARCH, parse_instant("2024-05-01"), overage_share=SHARE),),
    ),
    "a price that is gone": declared(version(OLD[:2])),
}


@pytest.mark.parametrize("name", CANDIDATES)
def test_readings_and_events_come_to_the_same(name: str) -> None:
    now = declared(version(OLD))
    as_of = JUNE if "June" in name else None
    by_readings = differ(now, CANDIDATES[name], as_of=as_of)
    by_events = differ(now, CANDIDATES[name], as_of=as_of, by_events=True)
    assert set(by_events.counted_by.values()) == {"events"}
    assert msgspec.structs.replace(by_readings, counted_by={}, unpriced=()) == msgspec.structs.replace(
        by_events, counted_by={}, unpriced=()
    )
    told = [{(item.customer, item.units) for item in found.unpriced} for found in (by_readings, by_events)]
    assert told[0] == told[1]
    assert bool(told[0]) == ("gone" in name)
    assert ("events" in by_readings.counted_by.values()) == (name in ("by the hour", "by length"))


@pytest.mark.parametrize("name", ["dearer and cheaper", "by quantity", "by the hour", "by length"])
def test_it_is_what_the_month_would_have_been(name: str) -> None:
    """Beside `entrepot bill` of the same events under each world."""
    found = differ(declared(version(OLD)), CANDIDATES[name])
    for which, under in (("old", declared(version(OLD))), ("new", CANDIDATES[name])):
        made = {item.customer: item.net for item in bill(open_books(":memory:"), under, events(), "2024-03").invoices}
        assert {item.customer: getattr(item, which) for item in found.customers} == made


def test_a_line_says_what_changes() -> None:
    found = differ(declared(version(OLD)), CANDIDATES["dearer and cheaper"])
    (acme, *_) = found.customers
    lines = {(line.model, line.meter): line for line in acme.lines}
    changed = lines["m", "input_tokens"]
    units = sum(event.meters["input_tokens"] for event in events() if event.customer == "acme" and event.model == "m")
    assert changed.old_quantity == changed.new_quantity == str(units)
    assert parse_pico(changed.difference) == units * 2 * 10**6
    assert lines["n", "input_tokens"].difference == "0.00"
    assert parse_pico(acme.difference or "") == parse_pico(acme.new) - parse_pico(acme.old)
    (total,) = found.totals
    assert parse_pico(total.difference) == sum(parse_pico(item.difference or "") for item in found.customers)


def test_terms_of_a_day_hold_for_the_past_month() -> None:
    """What begins in June would change nothing in March as it is dated."""
    now, candidate = declared(version(OLD)), CANDIDATES["a new version in June"]
    assert {item.difference for item in differ(now, candidate).customers} == {"0.00"}
    june = differ(now, candidate, as_of=JUNE)
    at_once = differ(now, CANDIDATES["dearer and cheaper"])
    assert june.as_of == "2024-06-01T00:00:00Z"
    assert msgspec.structs.replace(june, as_of=None) == at_once
    assert newest_terms(now, candidate) == JUNE
    assert newest_terms(now, now) is None


def test_a_contract_in_another_currency_has_no_difference() -> None:
    candidate = declared(version(OLD))
    euros = [replaced(item, currency="EUR") if item.customer == "acme" else item for item in candidate.contracts]
    found = differ(declared(version(OLD)), msgspec.structs.replace(candidate, contracts=tuple(euros)))
    (acme, *others) = found.customers
    assert (acme.currency, acme.new_currency, acme.difference) == ("USD", "EUR", None)
    assert {item.difference for item in others} == {"0.00"}


def replaced(item: Contract, **changes: object) -> Contract:
    return msgspec.structs.replace(item, **changes)


def test_provisioned_units_cost_what_the_new_world_says() -> None:
    """They come from the world, so they are not counted again from readings."""
    now = provisioned({"m": (UnitsFrom(MARCH, 100), UnitsFrom(MARCH + 7 * MINUTE, 0)), "n": ()}, [])
    half = msgspec.structs.replace(now, price_books=tuple(halved(item) for item in now.price_books))
    books = folded(applied(now), Marked(at=MARCH + 40 * DAY))
    terms = index_of(books.worlds())
    assert terms is not None
    (acme,) = price_diff(books, terms, half, PERIOD, scratch).customers
    (line,) = acme.lines
    assert (acme.old, acme.new, acme.difference) == ("11.67", "5.83", "-5.84")
    assert (line.meter, line.old_quantity, line.new_quantity) == (UNIT_HOURS, "11.666666666667", "11.666666666667")


def halved(item: PriceBookVersion) -> PriceBookVersion:
    rows = tuple(msgspec.structs.replace(price, unit_pico=price.unit_pico // 2) for price in item.prices)
    return msgspec.structs.replace(item, prices=rows)
