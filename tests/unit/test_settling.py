"""Settling with partners in the fold: only what is closed, only once, and what is corrected later is taken back."""

import msgspec
import pytest

from entrepot.core.agreements import Agreement
from entrepot.core.catalog import Model
from entrepot.core.errors import PeriodNotClosable
from entrepot.core.exchange import ExchangeRate
from entrepot.core.log_records import LogRecord, MonthClosed, MonthSettled
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, END_OF_TIME, HOUR, parse_instant
from entrepot.core.prices import Price, Step
from entrepot.core.terms import Reservation
from entrepot.core.world import World, index_of
from entrepot.flows.compare_books import check
from entrepot.flows.settle_accounts import check_settleable
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


def test_late_usage_behind_free_steps_is_shared_where_an_agreement_begins_within_the_month() -> None:
    """1,500 units before the agreement, of which 1,000 are free; 100 that come late, at 1 each, are within it."""
    free = (Step(1000, 0), Step(None, PICO))
    made = msgspec.structs.replace(
        declared(msgspec.structs.replace(SHARE, begins=MARCH + 9 * DAY)),
        price_books=(version([Price("m", "input_tokens", "default", 0, mode="graduated", steps=free)]),),
    )
    early = recorded(usage("a", "2024-03-05", meters={"input_tokens": 1500}))
    books = folded(
        applied(made), *early, *closed("2024-03", APRIL + DAY), march("b", 100), *closed("2024-04", MAY + DAY)
    )
    assert stated(books) == [("2024-04-own-1", "100.00", "20.00")]


def test_free_steps_weigh_nothing_in_the_share_of_a_line() -> None:
    """A line of 1,000 units that are free, and 100 at 1 each, of which only these are within the agreement."""
    free = (Step(1000, 0), Step(None, PICO))
    made = msgspec.structs.replace(
        declared(msgspec.structs.replace(SHARE, begins=MARCH + 7 * DAY)),
        price_books=(version([Price("m", "input_tokens", "default", 0, mode="graduated", steps=free)]),),
    )
    early = recorded(usage("a", "2024-03-05", meters={"input_tokens": 1000}))
    books = folded(applied(made), *early, march("b", 100), *closed("2024-03", APRIL + DAY))
    assert stated(books) == [("2024-03-own-1", "100.00", "20.00")]


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


RENTAL = Agreement(
    "own/capacity_rental@always", "own", "capacity_rental", "receive", 0, END_OF_TIME, "EUR", unit="gpu", each_pico=PICO
)


def settleable(books: Books, period: str = "2024-03") -> str:
    """The fault that keeps a month from being settled, "" for none."""
    try:
        check_settleable(books, index_of(books.worlds()), period)
    except PeriodNotClosable as refused:
        return refused.message
    return ""


def test_a_month_can_be_settled_once_a_close_of_it_went_through() -> None:
    """The first close of February is refused: a rate is missing."""
    paid_in_euro = contract("acme", currency="EUR", price_currency="USD")
    waiting = msgspec.structs.replace(declared(), contracts=(paid_in_euro,))
    rated = msgspec.structs.replace(waiting, exchange_rates=(ExchangeRate("USD", "EUR", 0, PICO),))
    refused = [applied(waiting), march("a", 1), MonthClosed(at=APRIL + DAY, period="2024-03")]
    assert "2024-03 is not closed" in settleable(folded())
    assert "2024-03 is not closed" in settleable(folded(*refused[:2]))
    assert "2024-03 is not closed" in settleable(folded(*refused))
    assert settleable(folded(*refused, applied(rated, APRIL + DAY), *closed("2024-03", APRIL + 2 * DAY))) == ""
    assert "is not a month" in settleable(folded(*refused), "March")


def test_only_a_share_of_invoices_needs_a_rate_from_their_currency() -> None:
    abroad = msgspec.structs.replace(SHARE, currency="EUR")
    used = [march("a", 1_000_000), MonthClosed(at=APRIL + DAY, period="2024-03")]
    assert settleable(folded(applied(declared(RENTAL)), *used)) == ""
    assert "declare an exchange rate from USD to EUR" in settleable(folded(applied(declared(abroad)), *used))


@pytest.mark.parametrize(("since", "amount"), [(APRIL - 1, "100.00"), (APRIL, "200.00")])
def test_a_share_is_converted_at_the_rate_in_force_when_the_month_ends(since: int, amount: str) -> None:
    rates = (ExchangeRate("USD", "EUR", 0, PICO), ExchangeRate("USD", "EUR", since, PICO // 2))
    made = msgspec.structs.replace(declared(msgspec.structs.replace(SHARE, currency="EUR")), exchange_rates=rates)
    books = folded(applied(made), march("a", 1_000_000), *closed("2024-03", APRIL + DAY))
    assert [item.amount for one in books.statements() for item in one.documents] == [amount]


def test_a_statement_has_the_agreements_that_may_come_to_something() -> None:
    """A share of invoices also behind its end, since usage of its time may come late; others while in force."""
    ended = msgspec.structs.replace(SHARE, id="own/resale_share@ended", ends=MARCH)
    later = msgspec.structs.replace(SHARE, id="own/resale_share@later", begins=APRIL)
    rented = msgspec.structs.replace(RENTAL, currency="USD")
    over = msgspec.structs.replace(rented, id="own/capacity_rental@over", ends=MARCH)
    agreements = (SHARE, ended, later, rented, over)
    books = folded(applied(declared(*agreements)), march("a", 1_000_000), *closed("2024-03", APRIL + DAY))
    (made,) = books.statements()
    found = [(item.agreement, item.amount) for item in made.documents]
    assert found == [(SHARE.id, "200.00"), (ended.id, "0.00"), (rented.id, "0.00")]


def test_a_model_that_was_taken_out_of_the_world_is_still_its_partners() -> None:
    """It was used in March, and is gone before March is settled."""
    gone = msgspec.structs.replace(declared(SHARE), models=())
    books = folded(
        applied(declared(SHARE)), march("a", 1_000_000), applied(gone, APRIL), *closed("2024-03", APRIL + DAY)
    )
    assert stated(books) == [("2024-03-own-1", "1000.00", "200.00")]
    again = folded(
        applied(declared(SHARE)),
        march("a", 1_000_000),
        *closed("2024-03", APRIL + DAY),
        applied(gone, APRIL + 2 * DAY),
        MonthSettled(at=APRIL + 3 * DAY, period="2024-03"),
    )
    assert stated(again) == [("2024-03-own-1", "1000.00", "200.00")]
