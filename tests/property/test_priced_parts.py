"""Parts of charges: told in unit prices, and always what the price says."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.prices import Mode, Price, Step
from entrepot.rating.priced_parts import PoolSpan, priced_parts

MODES: tuple[Mode, ...] = ("flat", "graduated", "volume", "package")
UNITS = st.integers(0, 10**6)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    bounds = sorted(draw(st.sets(st.integers(1, 5000), max_size=4)))
    steps = tuple(Step(up_to, draw(UNITS)) for up_to in (*bounds, None))
    mode = draw(st.sampled_from(MODES))
    return Price("m", "input_tokens", "default", draw(UNITS), "", mode, steps, draw(st.integers(1, 900)))


@given(prices(), st.integers(0, 3000), st.lists(st.integers(-500, 4000), min_size=1, max_size=6))
def test_the_parts_of_an_invoice_come_to_what_its_quantity_adds(price: Price, before: int, counted: list[int]) -> None:
    marks = [before, *(before + sum(counted[: number + 1]) for number in range(len(counted)))]
    spans = [PoolSpan(before, low, marks[-1]) for low, _ in pairwise(marks)]
    parts = [
        part for span, quantity in zip(spans, counted, strict=True) for part in priced_parts(price, quantity, span)
    ]
    assert sum(part.quantity for part in parts) == sum(counted)
    if min(marks) >= 0:
        assert sum(part.amount_pico for part in parts) == price.cost_pico(marks[-1]) - price.cost_pico(before)
    for part in parts:
        assert part.unit_pico is None or part.amount_pico == part.priced * part.unit_pico


@given(prices(), st.lists(st.integers(0, 4000), min_size=1, max_size=6))
def test_the_first_invoice_of_a_month_is_told_in_unit_prices_throughout(price: Price, counted: list[int]) -> None:
    reached = 0
    for quantity in counted:
        span = PoolSpan(0, reached, sum(counted))
        assert all(part.unit_pico is not None for part in priced_parts(price, quantity, span))
        reached += quantity
