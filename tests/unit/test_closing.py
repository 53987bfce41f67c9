"""What a close does with usage of months that were never closed, and what a commitment's lines say."""

import msgspec
import pytest

from entrepot.core.errors import PeriodNotClosable
from entrepot.core.exchange import ExchangeRate
from entrepot.core.log_records import MonthClosed
from entrepot.core.periods import DAY, Period, parse_instant
from entrepot.core.tenancy import Contract
from entrepot.core.terms import SHARE, Cap, Commitment, Credit, Reservation, Term
from entrepot.core.world import World, index_of
from entrepot.flows.close_month import check_order
from tests.support.billing import APRIL, MARCH, applied, contract, folded, prices, recorded, usage, version, world

FEBRUARY = parse_instant("2024-02-01")
CLOSE = MonthClosed(at=APRIL, period="2024-03")
VERSION = version(prices(("m", "input_tokens", "1000000")))
IN_EURO = contract("acme", currency="EUR", price_currency="USD")


def with_rate(date: str) -> World:
    rate = ExchangeRate("USD", "EUR", parse_instant(date), 9 * 10**11)
    return msgspec.structs.replace(world(VERSION, contracts=[IN_EURO]), exchange_rates=(rate,))


def test_usage_of_a_month_without_a_rate_keeps_the_close_waiting() -> None:
    """A rate that begins in March does not convert February's usage; the fold goes on, and nothing is issued."""
    events = recorded(usage("a", FEBRUARY + 1), usage("b", MARCH + 1))
    books = folded(applied(with_rate("2024-03-05")), *events, CLOSE)
    assert books.invoices() == []
    (closing,) = books.closings()
    assert "acme@2024-01-01 is invoiced in EUR and no exchange rate from USD is in force at the end of 2024-02" in (
        closing.refused
    )
    books = folded(applied(with_rate("2024-03-05")), *events, CLOSE, applied(with_rate("2024-02-05"), APRIL), CLOSE)
    assert [invoice.total for invoice in books.invoices()] == ["18.00"]


RESERVED = Reservation("reservation-1", 10, 35 * 10**10, FEBRUARY + 5 * DAY, APRIL)


@pytest.mark.parametrize(
    ("agreed", "month"),
    [
        (contract("acme", terms=(RESERVED,)), "2024-02"),
        (contract("acme", effective_from=MARCH, terms=(Commitment(10**12, FEBRUARY, APRIL),)), "2024-02"),
        (contract("acme", effective_from=APRIL, terms=(Commitment(10**12, FEBRUARY, APRIL),)), "2024-02"),
    ],
)
def test_units_not_counted_and_commitments_of_before_the_contract_keep_the_close_waiting_for_a_rate(
    agreed: Contract, month: str
) -> None:
    """Nothing was marked, so nothing says yet that units stood in February; the fold counts them in the close."""
    abroad = msgspec.structs.replace(agreed, currency="EUR", price_currency="USD")
    rate = ExchangeRate("USD", "EUR", MARCH + DAY, 9 * 10**11)
    declared = msgspec.structs.replace(world(VERSION, contracts=[abroad]), exchange_rates=(rate,))
    books = folded(applied(declared), CLOSE)
    (closing,) = books.closings()
    assert f"no exchange rate from USD is in force at the end of {month}" in closing.refused
    known = msgspec.structs.replace(declared, exchange_rates=(msgspec.structs.replace(rate, at=FEBRUARY),))
    books = folded(applied(known), CLOSE)
    assert [closing.refused for closing in books.closings()] == [""]
    assert {line.period for invoice in books.invoices() for line in invoice.lines} >= {month}


def test_a_month_of_units_that_are_not_counted_yet_is_closed_first() -> None:
    books = folded(applied(world(VERSION, contracts=[contract("acme", terms=(RESERVED,))])))
    terms = index_of(books.worlds())
    assert terms is not None
    check_order(books, terms, Period(2024, 2))
    with pytest.raises(PeriodNotClosable, match="2024-02 is not closed yet"):
        check_order(books, terms, Period(2024, 3))


def test_overage_at_another_price_shows_no_unit_price() -> None:
    """Given overage at 1.1 times the price, no line says that a unit costs what it would cost within."""
    term = Commitment(4 * 10**12, MARCH, APRIL, overage_share=11 * SHARE // 10)
    declared = world(VERSION, contracts=[contract("acme", terms=(term,))])
    books = folded(applied(declared), *recorded(usage("a")), CLOSE)
    (invoice,) = books.invoices()
    shown = [(line.kind, line.quantity, line.unit_price, line.exact) for line in invoice.lines]
    assert shown[:2] == [("usage", "4", "1", "4"), ("overage", "6", None, "6.6")]


LATE = MonthClosed(at=parse_instant("2024-05-01"), period="2024-04")
WITHIN = Commitment(1000 * 10**12, MARCH, parse_instant("2025-01-01"))
HALVED = (ExchangeRate("USD", "EUR", 0, 9 * 10**11), ExchangeRate("USD", "EUR", APRIL, 45 * 10**10))


@pytest.mark.parametrize(
    "more",
    [(), (Cap(5 * 10**12),), (Credit("credit-1", 500 * 10**12, MARCH, parse_instant("2025-01-01"), granted=True),)],
)
@pytest.mark.parametrize("currency", ["USD", "EUR"])
def test_late_usage_that_a_commitment_covers_costs_nothing_more(more: tuple[Term, ...], currency: str) -> None:
    """What it draws is of its own month: under that month's cap, before that month's credit, at that month's rate."""
    agreed = contract("acme", terms=(WITHIN, *more), currency=currency, price_currency="USD")
    declared = msgspec.structs.replace(world(VERSION, contracts=[agreed]), exchange_rates=HALVED)
    books = folded(applied(declared), *recorded(usage("a")), CLOSE, *recorded(usage("b")), LATE)
    _, late = books.invoices()
    assert [(line.kind, line.period) for line in late.lines] == [("adjustment", "2024-03"), ("commitment", "2024-03")]
    assert late.total == "0.00"
