"""Exchange rates: which one is in force, and what an amount comes to."""

import pytest

from entrepot.core.exchange import ExchangeRate, convert_pico, parse_rate, rate_at

RATES = [
    ExchangeRate("USD", "EUR", 100, 9),
    ExchangeRate("USD", "EUR", 200, 8),
    ExchangeRate("EUR", "USD", 150, 11),
    ExchangeRate("USD", "JPY", 50, 7),
]


@pytest.mark.parametrize(("at", "rate"), [(99, None), (100, 9), (199, 9), (200, 8), (10**9, 8)])
def test_a_rate_is_in_force_from_its_instant_until_the_next(at: int, rate: int | None) -> None:
    assert rate_at(RATES, "USD", "EUR", at) == rate


def test_the_other_direction_does_not_count() -> None:
    assert rate_at(RATES, "JPY", "USD", 10**9) is None


@pytest.mark.parametrize(
    ("amount", "rate", "converted"),
    [
        (3, 5 * 10**11, 2),  # 1.5 pico, half up.
        (-3, 5 * 10**11, -2),
        (-1, 4 * 10**11, 0),
        (0, 10**12, 0),
        (100_004 * 10**9, 918_300_000_000, 91_833_673_200_000),
    ],
)
def test_an_amount_is_rounded_to_whole_pico_away_from_zero(amount: int, rate: int, converted: int) -> None:
    assert convert_pico(amount, rate) == converted


def test_a_rate_is_above_zero() -> None:
    assert parse_rate("0.000000000001") == 1
    for text in ("0", "-1"):
        with pytest.raises(ValueError, match="above zero"):
            parse_rate(text)


def test_a_rate_is_named_by_its_currencies_and_instant() -> None:
    assert RATES[0].id == "USD-EUR@100"
