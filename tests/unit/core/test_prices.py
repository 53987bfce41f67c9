"""Prices: exact units, and parts priced as their whole."""

import pytest

from entrepot.core.prices import SERVED_BY_UNITS, Mode, Price, PriceBookVersion, PriceTable, Step, unit_price


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
    assert _unit(table, "reasoning_tokens") == 5
    assert _unit(table, "cached_input_tokens") == 1
    assert _unit(table, "input_tokens") is None
    assert table.price("m", "output_tokens", "batch") is None
    assert table.price("n", "output_tokens", "default") is None


def _unit(table: PriceTable, meter: str, price_class: str = "") -> int | None:
    price = table.price("m", meter, "default", price_class)
    return price.unit_pico if price else None


def test_a_class_has_its_own_price_where_there_is_one_the_most_telling_first() -> None:
    table = PriceTable(
        _version(
            0,
            Price("m", "input_tokens", "default", 1),
            Price("m", "input_tokens", "default", 2, "peak"),
            Price("m", "input_tokens", "default", 3, "above_1000"),
            Price("m", "cached_input_tokens", "default", 4, "peak"),
        )
    )
    assert [_unit(table, "input_tokens", name) for name in ("", "peak", "above_1000", "above_1000 peak", "night")] == [
        1, 2, 3, 3, 1,
    ]  # fmt: skip
    assert [_unit(table, "cached_input_tokens", name) for name in ("", "peak")] == [1, 4]
    assert table.long_inputs("m") == (1000,)


def test_lengths_that_have_a_price_are_looked_at_from_the_greatest() -> None:
    lengths = [Price("m", "input_tokens", "default", 1, f"above_{tokens}") for tokens in (9000, 200_000, 1000)]
    assert PriceTable(_version(0, *lengths)).long_inputs("m") == (200_000, 9000, 1000)


def test_what_units_serve_costs_nothing_beside_them_whatever_its_price() -> None:
    assert (
        _unit(PriceTable(_version(0, Price("m", "input_tokens", "default", 1))), "input_tokens", SERVED_BY_UNITS) == 0
    )
    assert _unit(PriceTable(_version(0)), "images", SERVED_BY_UNITS) == 0


STEPS = (Step(10, 4), Step(100, 3), Step(None, 1))


@pytest.mark.parametrize(
    ("mode", "costs"),
    [
        ("graduated", {0: 0, 1: 4, 10: 40, 11: 43, 100: 310, 101: 311, -11: -43}),
        ("volume", {0: 0, 1: 4, 10: 40, 11: 33, 100: 300, 101: 101, -11: -33}),
    ],
)
def test_steps_include_their_upper_bound(mode: Mode, costs: dict[int, int]) -> None:
    price = Price("m", "input_tokens", "default", 0, mode=mode, steps=STEPS)
    assert {quantity: price.cost_pico(quantity) for quantity in costs} == costs
    assert price.dearest_pico == 4


def test_a_begun_package_is_paid_whole() -> None:
    price = Price("m", "requests", "default", 7, mode="package", package=1000)
    assert [price.cost_pico(quantity) for quantity in (0, 1, 1000, 1001, -1001)] == [0, 7, 7, 14, -14]
