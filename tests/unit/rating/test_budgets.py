"""What budgets have spent: one's own part of what a month comes to."""

import msgspec
import pytest

from entrepot.core.prices import Mode, Price, Step
from entrepot.core.world import WorldIndex
from entrepot.ports.budgets import MonthlyUse
from entrepot.rating.budgets import EVERYBODY, Spending
from tests.support.billing import SERIES, prices, version, world

OTHER = msgspec.structs.replace(SERIES, project="other")


def terms(mode: Mode) -> WorldIndex:
    steps = (Step(10, 4), Step(None, 3))
    images = Price("m", "images", "default", 7, mode=mode, steps=steps, package=10)
    return WorldIndex(world(version((images, *prices(("m", "input_tokens", "5"))))))


def spent(mode: Mode, *quantities: int, own: int = 1, months: tuple[str, ...] = ("2024-03",)) -> int:
    """What of images, the first `own` of them counting, is spent in each of these months."""
    uses = [
        MonthlyUse(month, SERIES if number < own else OTHER, "key", "images", quantity)
        for month in months
        for number, quantity in enumerate(quantities)
    ]
    return Spending(terms(mode), uses).pico([("project", SERIES.project)])


@pytest.mark.parametrize(
    ("mode", "quantities", "own", "wanted"),
    [
        ("flat", (3, 5), 1, 21),
        ("graduated", (1,), 1, 4),
        ("graduated", (10, 2), 2, 46),
        ("graduated", (10, 2), 1, 39),  # Of 46, ten twelfths, rounded up.
        ("volume", (6, 6), 1, 18),
        ("package", (10, 1), 1, 13),  # Of 14, ten elevenths, rounded up.
        ("package", (10, -10), 1, 0),
        ("package", (5, 0), 0, 0),
    ],
)
def test_ones_own_part_of_a_month(mode: Mode, quantities: tuple[int, ...], own: int, wanted: int) -> None:
    assert spent(mode, *quantities, own=own) == wanted
    assert spent(mode, *quantities, own=own, months=("2024-03", "2024-04")) == 2 * wanted


def test_what_is_asked_for_is_summed() -> None:
    uses = [
        MonthlyUse("2024-03", series, key, meter, 3)
        for series, key, meter in (
            (SERIES, "one", "input_tokens"),
            (SERIES, "two", "reasoning_tokens"),
            (OTHER, "one", "images"),
        )
    ]
    spending = Spending(WorldIndex(world(version(prices(*(("m", use.meter, "5") for use in uses))))), uses)
    for owners, tokens, pico in (
        ([EVERYBODY], 6, 45),
        ([("project", SERIES.project)], 6, 30),
        ([("key", "one")], 3, 30),
        ([("key", "one"), ("key", "two")], 6, 45),
        ([("key", "three")], 0, 0),
        ([], 0, 0),
    ):
        assert (spending.tokens(owners), spending.pico(owners)) == (tokens, pico * 10**6)
