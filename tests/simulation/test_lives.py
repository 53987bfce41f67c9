"""A sample of `make simulate`: lives of the product with faults, and mistakes that they must find."""

import pytest

from tests.simulation.life import Life
from tests.simulation.lives import live
from tests.simulation.planted import PLANTED, hunt_all


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_every_request_is_billed_once(first: int) -> None:
    for seed in range(first, first + 10):
        lived = live(seed)
        assert lived.faults == [], f"again: python -m tests.simulation.lives --life {seed}"
        assert lived.counts["requests"] > 20
        assert lived.counts["invoices"] > 1


def test_a_seed_is_a_life() -> None:
    one, other = Life(5), Life(5)
    one.live()
    other.live()
    assert one.books.digest() == other.books.digest()
    assert one.deeds == other.deeds


def test_planted_mistakes_are_caught() -> None:
    caught = hunt_all(1)
    assert len(caught) == len(PLANTED) >= 6
    assert [item.line() for item in caught if item.seed is None] == []
