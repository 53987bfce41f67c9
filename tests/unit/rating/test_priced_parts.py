"""Charges told in unit prices, form by form."""

import pytest

from entrepot.core.prices import Mode, Price, Step
from entrepot.rating.priced_parts import PoolSpan, PricedPart, priced_parts

STEPS = (Step(10, 4), Step(100, 3), Step(None, 1))


def price(mode: Mode) -> Price:
    return Price("m", "input_tokens", "default", 7, mode=mode, steps=STEPS, package=10)


@pytest.mark.parametrize(
    ("mode", "quantity", "span", "parts"),
    [
        ("flat", 3, PoolSpan(0, 0, 3), [PricedPart(3, 3, 7, 21)]),
        ("package", 5, PoolSpan(0, 8, 13), [PricedPart(5, 1, 7, 7)]),
        ("package", 2, PoolSpan(0, 8, 10), [PricedPart(2, 0, 7, 0)]),
        (
            "graduated",
            100,
            PoolSpan(0, 5, 105),
            [PricedPart(5, 5, 4, 20, 1), PricedPart(90, 90, 3, 270, 2), PricedPart(5, 5, 1, 5, 3)],
        ),
        ("graduated", 5, PoolSpan(0, 5, 10), [PricedPart(5, 5, 4, 20, 1)]),
        ("graduated", -5, PoolSpan(9, 12, 7), [PricedPart(-3, -3, 4, -12, 1), PricedPart(-2, -2, 3, -6, 2)]),
        ("volume", 5, PoolSpan(0, 3, 10), [PricedPart(5, 5, 4, 20, 1)]),
        ("volume", 5, PoolSpan(0, 3, 101), [PricedPart(5, 5, 1, 5, 3)]),
        ("volume", 13, PoolSpan(7, 7, 20), [PricedPart(13, 13, None, 20 * 3 - 7 * 4)]),
        ("volume", 5, PoolSpan(0, 3, -2), [PricedPart(5, 5, None, 8 * 4 - 3 * 4)]),
        ("graduated", -5, PoolSpan(0, 3, 0), [PricedPart(-5, -5, None, -2 * 4 - 3 * 4)]),
        ("package", 5, PoolSpan(0, -3, 2), [PricedPart(5, 5, None, 7 + 7)]),
        ("package", 3, PoolSpan(0, 0, 3), [PricedPart(3, 1, 7, 7)]),
        ("package", -3, PoolSpan(3, 3, 0), [PricedPart(-3, -1, 7, -7)]),
    ],
)
def test_a_charge_in_unit_prices(mode: Mode, quantity: int, span: PoolSpan, parts: list[PricedPart]) -> None:
    assert priced_parts(price(mode), quantity, span) == parts
