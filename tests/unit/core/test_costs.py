"""What requests cost at most, and in fact."""

import pytest

from entrepot.core.costs import Costs, PricesInForce
from entrepot.core.periods import DAY, END_OF_TIME, HOUR
from entrepot.core.price_windows import PriceWindow
from entrepot.core.prices import Mode, Price, PriceBookVersion, Step
from tests.support.billing import MARCH

NIGHT = PriceWindow("night", "UTC", tuple(range(7)), 0, 6 * 60)


def costs(*rows: Price) -> Costs:
    version = PriceBookVersion("b@1", "b", 0, rows, windows=(NIGHT,))
    return Costs("m", [PricesInForce(MARCH, END_OF_TIME, version)])


def price(meter: str, pico: int, price_class: str = "", **changes: object) -> Price:
    return Price("m", meter, "default", pico, price_class, **changes)  # type: ignore[arg-type]


PLAIN = costs(price("input_tokens", 5), price("cached_input_tokens", 1), price("output_tokens", 20))


def test_flat_prices_cost_what_the_ledger_says() -> None:
    meters = {"input_tokens": 3, "cached_input_tokens": 4, "reasoning_tokens": 5, "output_tokens": 1, "images": 9}
    assert PLAIN.cost("default", MARCH, meters) == 3 * 5 + 4 * 1 + 6 * 20
    assert PLAIN.cost("batch", MARCH, meters) == 0
    assert PLAIN.cost("default", MARCH - 1, meters) == 0


def test_what_is_held_is_at_the_dearest_price_that_the_units_can_have() -> None:
    found = costs(
        price("input_tokens", 5), price("cache_write_tokens", 7), price("output_tokens", 20), price("images", 3)
    )
    assert found.most("default", MARCH, 10, 2, [("images", 2)]) == [
        ("cache_write_tokens", 10, 70),
        ("output_tokens", 2, 40),
        ("images", 2, 6),
    ]
    assert found.most("default", MARCH - 1, 10, 2) is None
    assert found.most("priority", MARCH, 10, 2) is None
    assert found.most("default", MARCH, 0, 0) == []


def test_the_hour_and_the_length_decide() -> None:
    found = costs(
        price("input_tokens", 5),
        price("input_tokens", 2, "night"),
        price("input_tokens", 9, "above_100"),
        price("output_tokens", 20),
    )
    at_noon = MARCH + 12 * HOUR
    assert [found.cost("default", at, {"input_tokens": 100}) for at in (MARCH, at_noon, MARCH + DAY)] == [200, 500, 200]
    assert found.cost("default", at_noon, {"input_tokens": 60, "cached_input_tokens": 41}) == 909
    assert found.most("default", at_noon, 10, 0) == [("input_tokens", 10, 90)]


def test_a_long_request_at_night_has_both_classes_the_length_first() -> None:
    found = costs(
        price("input_tokens", 5),
        price("input_tokens", 9, "above_100"),
        price("output_tokens", 20),
        price("output_tokens", 8, "night"),
    )
    assert found.cost("default", MARCH, {"input_tokens": 101, "output_tokens": 1}) == 101 * 9 + 8
    assert found.most("default", MARCH, 101, 1) == [("input_tokens", 101, 101 * 9), ("output_tokens", 1, 8)]
    assert found.cost("default", MARCH + 12 * HOUR, {"input_tokens": 100, "output_tokens": 1}) == 100 * 5 + 20


def test_prices_hold_until_the_next_begin() -> None:
    first, second = (PriceBookVersion(f"b@{pico}", "b", 0, (price("images", pico),)) for pico in (3, 4))
    found = Costs("m", [PricesInForce(MARCH, MARCH + DAY, first), PricesInForce(MARCH + DAY, END_OF_TIME, second)])
    instants = (MARCH - 1, MARCH, MARCH + DAY - 1, MARCH + DAY)
    assert [found.cost("default", at, {"images": 1}) for at in instants] == [0, 3, 3, 4]


@pytest.mark.parametrize(
    ("mode", "steps", "package", "most"),
    [
        ("graduated", (Step(10, 8), Step(None, 3)), 0, 15 * 8),
        ("volume", (Step(10, 8), Step(None, 3)), 0, 15 * 8),
        ("package", (), 10, 2 * 100),
    ],
)
def test_a_price_by_quantity_is_counted_at_its_dearest(
    mode: Mode, steps: tuple[Step, ...], package: int, most: int
) -> None:
    found = costs(price("input_tokens", 100 if package else 0, mode=mode, steps=steps, package=package))
    assert found.cost("default", MARCH, {"input_tokens": 15}) == most
    assert found.most("default", MARCH, 15, 0) == [("input_tokens", 15, most)]


def test_what_provisioned_units_serve_costs_nothing_but_is_not_without_a_price() -> None:
    version = PriceBookVersion("b@1", "b", 0, (price("input_tokens", 5), price("output_tokens", 20)))
    units = Costs("m", [PricesInForce(MARCH, END_OF_TIME, version)], by_units=True)
    parts = units.most("default", MARCH, 10, 10)
    assert parts is not None
    assert sum(part.pico for part in parts) == 0
    assert units.cost("default", MARCH, {"input_tokens": 3}) == 0
