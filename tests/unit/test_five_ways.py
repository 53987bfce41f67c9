"""Log, store, readings, ledger and invoices: a fault in any of the five is found and named, and nothing else is."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.core.invoices import Invoice
from entrepot.core.log_records import LogRecord, Marked, MonthClosed, Reconciled, UsageRecorded
from entrepot.core.money import PICO, format_pico, parse_pico
from entrepot.core.periods import DAY, END_OF_TIME, HOUR, MINUTE, parse_instant, parse_period
from entrepot.core.prices import Price, Step
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.subscriptions import SeatsFrom, Subscription
from entrepot.core.terms import SHARE, Commitment, LockedRate, Reservation, Tax
from entrepot.core.world import World, index_of
from entrepot.flows.reconcile_books import FiveWays, bounds_of, due_day, reconcile_hours
from entrepot.metering.log_count import LogDays
from entrepot.ports.books import Books
from tests.property.test_provisioned import declared as provisioned
from tests.support.billing import (
    APRIL,
    MARCH,
    ListLog,
    applied,
    contract,
    folded,
    prices,
    recorded,
    usage,
    version,
    world,
)

PERIOD = parse_period("2024-03")
FLAT = prices(("m", "input_tokens", "0.15"), ("m", "output_tokens", "0.6"), ("n", "input_tokens", "2"))
STEPS = (Step(3000, 700_000), Step(None, 600_000))
STEPPED = (Price("m", "output_tokens", "default", 0, mode="graduated", steps=STEPS), FLAT[0])
HELD = (Commitment(10**9, MARCH, parse_instant("2024-05-01")), Tax(2 * 10**11, "VAT"))


def declared(*, priced: bool) -> World:
    """Four customers: flat prices, another zone, prices by quantity, a commitment. priced: whether model n is."""
    contracts = [
        contract("acme", terms=(Tax(2 * 10**11, "VAT"),)),
        contract("beta", zone="Asia/Kolkata"),
        contract("gamma", price_book="steps"),
        contract("held", terms=HELD),
    ]
    books = (version(FLAT if priced else FLAT[:2]), version(STEPPED, book="steps"))
    return world(*books, contracts=contracts, customers=["acme", "beta", "gamma", "held"])


def life() -> list[LogRecord]:
    """Two days of usage, some late, some twice, some in conflict, some priced later; March is closed."""
    meters = {"input_tokens": 1000, "output_tokens": 300}
    used = [
        usage(f"{customer}-{number}", MARCH + number * 5 * HOUR + 40 * MINUTE, customer=customer, meters=meters)
        for customer in ("acme", "beta", "gamma", "held")
        for number in range(-2, 10)
    ]
    waiting = [usage(f"n-{number}", MARCH + number * HOUR, model="n") for number in range(3)]
    return [
        applied(declared(priced=False)),
        *recorded(*used[:30], *waiting, waiting[0], usage("n-1", MARCH + HOUR, model="n", meters={"input_tokens": 11})),
        Marked(at=MARCH + 20 * HOUR),
        *recorded(*used[20:], msgspec.structs.replace(used[0], tier="default", meters={"input_tokens": 5})),
        applied(declared(priced=True)),
        Marked(at=MARCH + 2 * DAY),
        MonthClosed(at=APRIL + DAY, period="2024-03"),
        *recorded(usage("late", MARCH + HOUR, meters=meters), usage("odd", MARCH, tier="gold")),
        Marked(at=APRIL + 2 * DAY),
        *recorded(usage("later", MARCH + HOUR, meters=meters)),
    ]


def looked(books: Books, records: list[LogRecord], *, month: bool = False) -> FiveWays:
    terms = index_of(books.worlds())
    assert terms is not None
    since, until = bounds_of(terms, PERIOD) if month else (MARCH, MARCH + DAY)
    return reconcile_hours(books, terms, LogDays(ListLog(records)), since, until, month=PERIOD if month else None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of finished books."""
    path = tmp_path / "books.db"
    folded(*life(), path=str(path)).close()
    return path


@pytest.mark.parametrize("month", [False, True])
def test_zero(file: Path, month: bool) -> None:
    books = open_books(str(file))
    found = looked(books, life(), month=month)
    assert found.faults == ()
    assert found.agrees
    assert found.places > 20
    assert (found.invoices > 3) == month
    assert found.by_quantity > 0
    books.close()


def test_late_usage_of_a_commitment_that_is_over_and_an_invoice_without_conversions_are_no_faults() -> None:
    """February's commitment of half the price is over in March; in euros, March has nothing but seats."""
    february = parse_instant("2024-02-01")
    term = Commitment(100 * PICO, february, MARCH, share=SHARE // 2)
    abroad = msgspec.structs.replace(term, ends=APRIL)
    contracts = [
        contract("acme", terms=(term,)),
        contract("beta", terms=(abroad, LockedRate(9 * PICO // 10)), currency="EUR", price_currency="USD"),
    ]
    seats = Subscription("s", "beta", "desk", PICO, MARCH, END_OF_TIME, 1, 1, (SeatsFrom(MARCH, 2),))
    made = msgspec.structs.replace(
        world(version(FLAT), contracts=contracts, customers=["acme", "beta"]), subscriptions=(seats,)
    )
    used = [recorded(usage(name, february + HOUR, customer=name[:4])) for name in ("acme-1", "beta-1", "acme-2")]
    records = [
        applied(made),
        *(used[0] + used[1]),
        MonthClosed(at=MARCH + DAY, period="2024-02"),
        *used[2],
        MonthClosed(at=APRIL + DAY, period="2024-03"),
    ]
    books = folded(*records)
    assert [len(invoice.lines) for invoice in books.invoices("2024-03")] == [2, 1]
    assert looked(books, records, month=True).faults == ()


def altered(file: Path, *statements: str) -> Books:
    """The books after somebody took the triggers away and wrote into them."""
    with sqlite3.connect(file) as raw:
        triggers = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in triggers:
            raw.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert raw.execute(statement).rowcount > 0, statement
    raw.close()
    return open_books(str(file))


FIVE = MARCH + 5 * HOUR
ACME = "series = (SELECT no FROM series WHERE customer = 'acme' AND model = 'm')"
ENTRY = f"(SELECT no FROM journal WHERE key = 'usage:acme@2024-01-01:{FIVE}:0')"
WHERE = "contract acme@2024-01-01, {}, hour 2024-03-01T05:00:00Z"
# {whose: (what is done to it, the meter, what is told)}
PLANTED = {
    "the store": (
        f"DELETE FROM usage_event WHERE {ACME} AND admitted_at = {FIVE + 40 * MINUTE}",
        "input_tokens",
        "the log 1,000, the store 0, the readings 1,000",
    ),
    "the readings": (
        f"UPDATE reading SET quantity = quantity + 1 WHERE {ACME} AND hour = {FIVE} AND meter = 'output_tokens'",
        "output_tokens",
        "the log 300, the store 300, the readings 301",
    ),
    "the ledger": (
        f"UPDATE posting SET pico_rem = pico_rem + 1 WHERE leg = 1 AND pico_rem < 999999 AND entry = {ENTRY}",
        "input_tokens",
        "readings come to 0.00033, entries to 0.000329999999",
    ),
    "the invoices": (
        f"UPDATE invoice_reading SET quantity = quantity - 1 WHERE {ACME} AND meter = 'input_tokens' AND hour = {FIVE}",
        "input_tokens",
        "readings 1,000 invoiced, lines 999",
    ),
}


@pytest.mark.parametrize("month", [False, True])
@pytest.mark.parametrize("where", PLANTED)
def test_a_planted_fault_is_named(file: Path, where: str, month: bool) -> None:
    statement, meter, told = PLANTED[where]
    books = altered(file, statement)
    first, *_ = looked(books, life(), month=month).faults
    assert first.startswith(f"{where}: {WHERE.format(meter)}")
    assert told in first
    books.close()


def test_a_record_that_the_log_lost_is_named(file: Path) -> None:
    gone = [item for item in life() if not (isinstance(item, UsageRecorded) and item.event.id == "acme-3")]
    kept = [*gone, *recorded(usage("other", MARCH + 20 * DAY), usage("another", MARCH + 20 * DAY))]
    books = open_books(str(file))
    first, *_ = looked(books, kept[: len(life())]).faults
    assert first.startswith("the log: contract acme@2024-01-01, input_tokens, hour 2024-03-01T15:00:00Z")
    books.close()


def rewritten(change: Callable[[Invoice], Invoice], file: Path, number: str = "2024-03-000001") -> Books:
    """The books with an invoice changed, the first if no other, and its hash with it."""
    books = open_books(str(file))
    body = msgspec.json.encode(change(books.invoice(number)), order="deterministic")
    books.close()
    sha256 = hashlib.sha256(body).hexdigest()
    return altered(file, f"UPDATE invoice SET body = x'{body.hex()}', sha256 = '{sha256}' WHERE number = '{number}'")


def with_line(invoice: Invoice, **changes: str) -> Invoice:
    first, *others = invoice.lines
    return msgspec.structs.replace(invoice, lines=(msgspec.structs.replace(first, **changes), *others))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: with_line(made, quantity="1"), "the line has 1, its readings"),
        (lambda made: with_line(made, exact="7.001"), "the line comes to 7.001, its readings to"),
        (lambda made: with_line(made, amount="7.00"), "does not round to 7.00"),
        (lambda made: msgspec.structs.replace(made, net="9.00"), "net is 9.00, and"),
        (lambda made: msgspec.structs.replace(made, total="9.00"), "total is 9.00, and"),
    ],
)
def test_paper_that_was_rewritten_with_its_hash_is_found_by_the_month(
    file: Path, change: Callable[[Invoice], Invoice], said: str
) -> None:
    books = rewritten(change, file)
    faults = looked(books, life(), month=True).faults
    assert any(said in fault and "contract acme@2024-01-01" in fault for fault in faults)
    books.close()


def test_paper_that_was_rewritten_without_its_hash_is_found_every_day(file: Path) -> None:
    books = altered(file, "UPDATE invoice SET body = CAST(replace(body, '0', '1') AS BLOB) WHERE no = 1")
    assert looked(books, life()).faults == ("the invoices: 2024-03-000001 is not what was issued",)
    books.close()


@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        ("2024-03-000003", "usage", "contract gamma@2024-01-01, month 2024-03, model m: all lines come to"),
        ("2024-03-000004", "usage", "contract held@2024-01-01, month 2024-03, within the commitment: all lines"),
        ("2024-03-000004", "overage", "contract held@2024-01-01, month 2024-03, beyond the commitment: all lines"),
    ],
)
def test_lines_that_only_come_to_something_together_are_held_against_all_their_readings(
    file: Path, number: str, kind: str, told: str
) -> None:
    """Prices by quantity, and what a commitment covers; a pico is found that no rounding shows."""

    def altered_line(invoice: Invoice) -> Invoice:
        (*_, line) = (line for line in invoice.lines if line.kind == kind)
        exact = format_pico(parse_pico(line.exact) + 1)
        changed = msgspec.structs.replace(line, exact=exact)
        return msgspec.structs.replace(
            invoice, lines=tuple(changed if item is line else item for item in invoice.lines)
        )

    books = rewritten(altered_line, file, number)
    (fault,) = looked(books, life(), month=True).faults
    assert fault.startswith(f"the invoices: {told}")
    books.close()


def test_what_of_a_reservation_is_on_paper_is_held_against_its_minutes(tmp_path: Path) -> None:
    reserved = [Reservation("reservation-1", 20, 350_000_000_003, MARCH + HOUR, MARCH + 9 * HOUR, ())]
    records: list[LogRecord] = [applied(provisioned({}, reserved)), MonthClosed(at=APRIL + DAY, period="2024-03")]
    path = tmp_path / "books.db"
    folded(*records, path=str(path)).close()
    books = rewritten(lambda made: with_line(made, quantity="161", exact="56.000000000481"), path)
    faults = looked(books, records, month=True).faults
    assert [fault.split(": ", 1)[1] for fault in faults] == [
        (
            "2024-03-000001 line 1, contract acme@2024-01-01, provisioned_unit_hours, reservation-1, from hour "
            "2024-03-01T01:00:00Z: the line has 161, its readings 160"
        ),
        (
            "contract acme@2024-01-01, month 2024-03, reservation-1: all lines come to 56.000000000481, "
            "their readings to 56.00000000048"
        ),
    ]
    books.close()


def test_prices_by_quantity_are_held_against_the_month(file: Path) -> None:
    wrong = (
        "UPDATE posting SET micro = micro + (CASE leg WHEN 0 THEN 1 ELSE -1 END) WHERE leg < 2 AND entry = "
        f"(SELECT min(no) FROM journal WHERE key LIKE 'usage:gamma%' AND at >= {MARCH})"
    )
    books = altered(file, wrong)
    (fault,) = looked(books, life(), month=True).faults
    assert fault.startswith("the ledger: contract gamma@2024-01-01, month 2024-03, income:usage:m: readings come to")
    books.close()


def test_an_entry_that_does_not_balance_is_named(file: Path) -> None:
    """Also where the price depends on the month's quantity, so that the hour's amount cannot be told."""
    books = altered(
        file, f"UPDATE posting SET micro = micro + 1 WHERE leg = 0 AND entry = {ENTRY.replace('acme', 'gamma')}"
    )
    (fault,) = looked(books, life()).faults
    assert fault.startswith(f"the ledger: entry usage:gamma@2024-01-01:{FIVE}:0, hour 2024-03-01T05:00:00Z")
    books.close()


def test_each_day_is_due_once_and_when_it_is_complete() -> None:
    def due(*records: LogRecord) -> tuple[int, int] | None:
        return due_day(folded(applied(declared(priced=True)), *records))

    assert due() is None
    assert due(Marked(at=MARCH + DAY - 1)) == (MARCH - DAY, MARCH)
    assert due(Marked(at=MARCH + DAY)) == (MARCH, MARCH + DAY)
    done = Reconciled(0, MARCH - DAY, MARCH, ())
    assert due(done, Marked(at=MARCH + DAY - 1)) is None
    assert due(done, Marked(at=MARCH + 3 * DAY)) == (MARCH, MARCH + DAY)
    assert due(done, Marked(at=MARCH + 30 * DAY)) == (MARCH + 23 * DAY, MARCH + 24 * DAY)
    assert due(Reconciled(0, MARCH, MARCH + 31 * DAY, ()), Marked(at=MARCH + DAY)) == (MARCH, MARCH + DAY)


def test_provisioned_units_agree_however_they_were_cut() -> None:
    """Minutes at a price that is no whole number of pico each, accrued in several parts, some covered."""
    stood = {"m": (UnitsFrom(MARCH + 10 * MINUTE, 100), UnitsFrom(MARCH + 30 * HOUR + 7 * MINUTE, 0)), "n": ()}
    reserved = [Reservation("reservation-1", 20, 350_000_000_003, MARCH + HOUR, MARCH + 9 * HOUR, ())]
    marks = [Marked(at=MARCH + hours * HOUR + 25 * MINUTE) for hours in (3, 4, 20)]
    close = MonthClosed(at=APRIL + DAY, period="2024-03")
    records: list[LogRecord] = [applied(provisioned(stood, reserved)), *marks, close]
    books = folded(*records)
    for month in (False, True):
        found = looked(books, records, month=month)
        assert found.faults == ()
        assert found.by_quantity > 20
