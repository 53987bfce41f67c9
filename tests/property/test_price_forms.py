"""Prices by quantity against fractions and plain counting; nothing here shares code with what it checks."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.core.prices import Price, Step

UNITS = st.integers(0, 10**7)
BOUNDS: st.SearchStrategy[list[int]] = st.lists(st.integers(1, 10**6), max_size=4, unique=True).map(sorted)
QUANTITIES = st.one_of(st.integers(0, 50), st.integers(0, 2 * 10**6), st.integers(0, 10**12))


def stepped(mode: str, bounds: list[int], units: list[int]) -> Price:
    """A price with a step to each bound and one beyond, at these prices in turn."""
    ends = [*bounds, None]
    steps = tuple(Step(end, units[number % len(units)]) for number, end in enumerate(ends))
    return Price("m", "images", "default", 0, mode=mode, steps=steps)  # type: ignore[arg-type]


def unit_at(number: int, bounds: list[int], units: list[int]) -> int:
    """What the unit of this number costs, where each bound is the last unit of its step."""
    return units[sum(1 for bound in bounds if bound < number) % len(units)]


@settings(max_examples=300)
@given(
    st.lists(st.integers(1, 60), max_size=4, unique=True).map(sorted), st.lists(UNITS, min_size=1), st.integers(0, 80)
)
def test_graduated_is_each_unit_at_its_own_price(bounds: list[int], units: list[int], quantity: int) -> None:
    counted = sum(unit_at(number, bounds, units) for number in range(1, quantity + 1))
    assert stepped("graduated", bounds, units).cost_pico(quantity) == counted


@settings(max_examples=300)
@given(BOUNDS, st.lists(UNITS, min_size=1), QUANTITIES)
def test_graduated_is_a_sum_over_steps_and_volume_one_price(bounds: list[int], units: list[int], quantity: int) -> None:
    edges = [Fraction(bound) for bound in (0, *bounds)]
    inside = [
        max(Fraction(0), min(Fraction(quantity), upper) - lower)
        for lower, upper in zip(edges, [*edges[1:], max(Fraction(quantity), edges[-1])], strict=True)
    ]
    expected = sum((size * units[number % len(units)] for number, size in enumerate(inside)), Fraction(0))
    assert stepped("graduated", bounds, units).cost_pico(quantity) == expected
    assert stepped("volume", bounds, units).cost_pico(quantity) == Fraction(quantity) * unit_at(quantity, bounds, units)


@settings(max_examples=300)
@given(st.integers(1, 10**6), UNITS, QUANTITIES)
def test_packages_cover_the_quantity_and_no_more(size: int, unit: int, quantity: int) -> None:
    price = Price("m", "images", "default", unit, mode="package", package=size)
    packages = Fraction(price.cost_pico(quantity), unit) if unit else Fraction(-(-quantity // size))
    assert packages * size >= quantity > (packages - 1) * size or packages == quantity == 0
