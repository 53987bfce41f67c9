"""Prices: exact units, and parts priced as their whole."""

import pytest

from entrepot.core.prices import Price, PriceBookVersion, PriceTable, unit_price


@pytest.mark.parametrize(
    ("text", "per", "pico"),
    [
        ("30", "per_million", 30_000_000),
        ("0.15", "per_million", 150_000),
        ("0.0075", "per_million", 7_500),
        ("1.00", "each", 10**12),
        ("0", "each", 0),
    ],
)
def test_published_prices_become_whole_pico(text: str, per: str, pico: int) -> None:
    assert unit_price(text, per) == pico  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0.0000001", "-1", "free"])
def test_a_price_that_is_not_whole_pico_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pico|negative|decimal"):
        unit_price(text, "per_million")


def _version(start: int, *prices: Price) -> PriceBookVersion:
    return PriceBookVersion(id=f"list@{start}", book="list", effective_from=start, prices=prices)


def test_a_part_without_a_price_costs_what_the_whole_costs_and_never_nothing() -> None:
    table = PriceTable(
        _version(0, Price("m", "output_tokens", "default", 5), Price("m", "cached_input_tokens", "default", 1))
    )
    assert table.unit_pico("m", "reasoning_tokens", "default") == 5
    assert table.unit_pico("m", "cached_input_tokens", "default") == 1
    assert table.unit_pico("m", "input_tokens", "default") is None
    assert table.unit_pico("m", "output_tokens", "batch") is None
    assert table.unit_pico("n", "output_tokens", "default") is None
