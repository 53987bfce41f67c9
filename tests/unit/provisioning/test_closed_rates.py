"""Exchange rates that a closed month goes by stay what they are."""

import msgspec
import pytest

from entrepot.core.agreements import Agreement
from entrepot.core.exchange import ExchangeRate
from entrepot.core.periods import END_OF_TIME, parse_instant, parse_period
from entrepot.core.terms import LockedRate, Term
from entrepot.core.world import World
from entrepot.provisioning.metered import rate_conflicts
from tests.support.billing import contract, prices, version, world

MARCH = parse_period("2024-03")
EARLY = ExchangeRate("USD", "EUR", parse_instant("2024-01-01"), 918_300_000_000)
LATER = ExchangeRate("USD", "EUR", parse_instant("2024-04-01"), 950_000_000_000)


def declared(*rates: ExchangeRate, terms: tuple[Term, ...] = ()) -> World:
    """A contract invoiced in euros whose prices are in dollars."""
    made = world(
        version(prices(("m", "input_tokens", "1"))),
        contracts=[contract("acme", currency="EUR", price_currency="USD", zone="Europe/Berlin", terms=terms)],
    )
    return msgspec.structs.replace(made, exchange_rates=rates)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ((msgspec.structs.replace(EARLY, rate_pico=10**12),), "0.9183 and cannot become 1: 2024-03 is closed"),
        ((), "cannot become unknown"),
        ((EARLY, msgspec.structs.replace(LATER, at=parse_instant("2024-03-31"))), "cannot become 0.95"),
    ],
)
def test_a_rate_of_a_closed_month_cannot_change(after: tuple[ExchangeRate, ...], said: str) -> None:
    (found,) = rate_conflicts(declared(EARLY), declared(*after), [MARCH])
    assert said in found
    assert "declare a rate of a later date" in found
    assert list(rate_conflicts(declared(EARLY), declared(*after), [])) == []


def test_a_later_rate_and_rates_that_nothing_goes_by_may_change() -> None:
    assert list(rate_conflicts(declared(EARLY), declared(EARLY, LATER), [MARCH])) == []
    locked = declared(EARLY, terms=(LockedRate(10**12),))
    assert list(rate_conflicts(locked, declared(terms=(LockedRate(10**12),)), [MARCH])) == []
    assert list(rate_conflicts(declared(), declared(EARLY), [MARCH])) == []


def test_what_a_settlement_is_converted_by_stays_as_well() -> None:
    share = Agreement("own/resale_share@always", "own", "resale_share", "pay", 0, END_OF_TIME, "USD", share=1)
    back = ExchangeRate("EUR", "USD", 0, 10**12)
    before = msgspec.structs.replace(declared(EARLY, back), agreements=(share,))
    after = msgspec.structs.replace(declared(EARLY), agreements=(share,))
    (found,) = rate_conflicts(before, after, [MARCH])
    assert "from EUR to USD" in found
