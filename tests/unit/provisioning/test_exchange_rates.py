"""Exchange rates: what they are for, and what is wrong with one."""

import pytest

from entrepot.core.exchange import ExchangeRate
from entrepot.core.periods import parse_instant
from entrepot.core.terms import LockedRate
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of

RATES = "exchange_rates:\n  - {from: USD, to: EUR, rate: '0.9183', on: 2024-03-31}\n"


def in_euro(more: str = "") -> str:
    """The small world with a book in dollars and a contract in euro."""
    text = changed("  - id: list\n", "  - id: list\n    currency: USD\n")
    return changed("    price_book: list\n", f"    price_book: list\n    currency: EUR\n{more}", text)


def test_a_contract_is_invoiced_in_another_currency_where_there_is_a_rate() -> None:
    (fault,) = faults_of(in_euro())
    assert "price book list is in USD and this contract in EUR; agree on a rate with a term of kind exchange" in fault
    read = read_world([("world.yaml", in_euro() + RATES)])
    assert (read.contracts[0].currency, read.contracts[0].charged_in) == ("EUR", "USD")
    assert read.exchange_rates == (ExchangeRate("USD", "EUR", parse_instant("2024-03-31"), 918_300_000_000),)
    locked = read_world([("world.yaml", in_euro("    terms: [{kind: exchange, rate: '2'}]\n"))])
    assert locked.contracts[0].terms == (LockedRate(2 * 10**12),)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("'0.9183'", "'0'", "exchange rate from USD to EUR: rate: an exchange rate must be above zero, not 0"),
        ("to: EUR", "to: USD", "exchange rate from USD to USD: from and to must be two currencies"),
        ("to: EUR", "to: EURO", "exchange rate: to 'EURO' is not an ISO 4217 code such as USD"),
        ("on: 2024-03-31", "on: March", "exchange rate from USD to EUR: on: 'March' is not an RFC 3339 time"),
    ],
)
def test_a_rate_that_makes_no_sense_is_named(old: str, new: str, fault: str) -> None:
    told = faults_of(SMALL + changed(old, new, RATES))
    assert any(fault in text for text in told), told
