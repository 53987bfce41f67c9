"""Settling with partners in the fold: only what is closed, only once, and what is corrected later is taken back."""

import msgspec

from entrepot.core.agreements import Agreement
from entrepot.core.catalog import Model
from entrepot.core.exchange import ExchangeRate
from entrepot.core.log_records import LogRecord, MonthClosed, MonthSettled
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, END_OF_TIME, HOUR, parse_instant
from entrepot.core.terms import Reservation
from entrepot.core.world import World
from entrepot.flows.compare_books import check
from entrepot.ports.books import Books
from tests.support.billing import APRIL, MARCH, applied, contract, folded, prices, recorded, usage, version, world

MAY = parse_instant("2024-05-01")
SHARE = Agreement("own/resale_share@always", "own", "resale_share", "pay", 0, END_OF_TIME, "USD", share=2 * 10**11)


def declared(*agreements: Agreement) -> World:
    """A world with a model of a partner, a million input tokens of which cost 1,000."""
    made = world(version(prices(("m", "input_tokens", "1000"))))
    model = Model(id="m", version="1", partner="own", context_tokens=8192, stage="general")
    return msgspec.structs.replace(made, models=(model,), agreements=agreements)


def march(event: str, tokens: int, corrects: str | None = None) -> LogRecord:
    """Usage of 10 March."""
    (record,) = recorded(usage(event, "2024-03-10", meters={"input_tokens": tokens}, corrects=corrects))
    return record


def closed(period: str, at: int) -> list[LogRecord]:
    """A month closed and settled."""
    return [MonthClosed(at=at, period=period), MonthSettled(at=at, period=period)]


def stated(books: Books) -> list[tuple[str, str, str]]:
    """(number, base, amount) of each item of each statement, of books that hold together."""
    assert list(check(books)) == []
    return [(made.number, item.base, item.amount) for made in books.statements() for item in made.documents]


def test_a_month_is_settled_once_and_only_when_it_is_closed() -> None:
    start = [applied(declared(SHARE)), march("a", 1_000_000)]
    assert stated(folded(*start, MonthSettled(at=APRIL, period="2024-03"))) == []
    assert stated(folded(*start, *closed("2024-03", APRIL + DAY), MonthSettled(at=APRIL + DAY, period="2024-03"))) == [
        ("2024-03-own-1", "1000.00", "200.00")
    ]


def test_late_usage_and_corrections_change_the_statement_of_the_invoice_they_are_on() -> None:
    books = folded(
        applied(declared(SHARE)),
        march("a", 1_000_000),
        *closed("2024-03", APRIL + DAY),
        march("b", 500_000),
        *closed("2024-03", APRIL + 2 * DAY),
        march("c", -10_000, corrects="a"),
        *closed("2024-04", MAY + DAY),
    )
    assert stated(books) == [
        ("2024-03-own-1", "1000.00", "200.00"),
        ("2024-03-own-2", "1500.00", "100.00"),
        ("2024-04-own-1", "-10.00", "-2.00"),
    ]
    balances = books.balances()
    assert balances["expenses:partner:own:resale_share", "USD"] == 298 * 10**12
    assert balances["liabilities:partner:own", "USD"] == -298 * 10**12


def test_a_cap_holds_over_all_months_and_what_is_taken_back_makes_room_again() -> None:
    capped = msgspec.structs.replace(SHARE, cap_pico=150 * 10**12)
    books = folded(
        applied(declared(capped)),
        march("a", 1_000_000),
        *closed("2024-03", APRIL + DAY),
        march("b", -500_000, corrects="a"),
        *closed("2024-04", MAY + DAY),
    )
    assert stated(books) == [("2024-03-own-1", "1000.00", "150.00"), ("2024-04-own-1", "-500.00", "-50.00")]
    assert [item.cap_left for made in books.statements() for item in made.documents] == ["0.00", "50.00"]


def test_a_first_statement_is_made_in_each_currency_also_where_a_cap_leaves_nothing() -> None:
    nothing = msgspec.structs.replace(SHARE, cap_pico=0)
    abroad = msgspec.structs.replace(SHARE, id="own/resale_share@2024-01-01", currency="EUR")
    made = msgspec.structs.replace(
        declared(nothing, abroad), exchange_rates=(ExchangeRate("USD", "EUR", 0, 9 * PICO // 10),)
    )
    settled = MonthSettled(at=APRIL + DAY, period="2024-03")
    books = folded(applied(made), march("a", 1_000_000), *closed("2024-03", APRIL + DAY), settled)
    assert stated(books) == [("2024-03-own-1", "900.00", "180.00"), ("2024-03-own-2", "1000.00", "0.00")]


def test_a_reservation_of_a_partners_model_is_shared_as_its_usage_is() -> None:
    """The hours while the agreement was in force, used or not; one for any model is nobody's."""
    one = Reservation("reservation-1", 10, PICO, MARCH, MARCH + 9 * HOUR, ("m",))
    reserved = (one, msgspec.structs.replace(one, id="reservation-2", models=()))
    agreed = msgspec.structs.replace(SHARE, ends=MARCH + 6 * HOUR)
    made = msgspec.structs.replace(declared(agreed), contracts=(contract("acme", terms=reserved),))
    books = folded(applied(made), *closed("2024-03", APRIL + DAY))
    assert books.invoices()[0].net == "180.00"
    assert stated(books) == [("2024-03-own-1", "60.00", "12.00")]
