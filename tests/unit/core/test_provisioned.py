"""Provisioned throughput: the rule that sizes a deployment."""

import pytest

from entrepot.core.provisioned import DEFAULT_SIZING, Geography, SizingRule, minutes_pico, nearest_units, sizing_at

RULES = (
    SizingRule(300, 100, begins=10),
    SizingRule(50, 50, begins=20),
    SizingRule(15, 5, geography="global", begins=30),
)


@pytest.mark.parametrize(
    ("geography", "at", "minimum"),
    [("global", 10, 300), ("global", 29, 50), ("global", 30, 15), ("regional", 30, 50), ("data_zone", 19, 300)],
)
def test_the_latest_rule_for_the_geography_holds(geography: Geography, at: int, minimum: int) -> None:
    rule = sizing_at(RULES, geography, at)
    assert rule is not None
    assert rule.minimum == minimum


def test_a_model_has_no_rule_before_its_first_and_a_plain_one_without_any() -> None:
    assert sizing_at(RULES, "global", 9) is None
    assert sizing_at((), "global", 9) is DEFAULT_SIZING


@pytest.mark.parametrize(
    ("units", "nearest"),
    [(0, (15,)), (1, (15,)), (14, (15,)), (15, (15,)), (16, (15, 20)), (19, (15, 20)), (20, (20,)), (101, (100, 105))],
)
def test_units_that_cannot_be_had_have_one_below_and_one_above(units: int, nearest: tuple[int, ...]) -> None:
    assert nearest_units(SizingRule(15, 5), units) == nearest


def test_minutes_that_are_given_back_cost_what_they_cost() -> None:
    """Half a pico, which a correction has to round as the invoice before it did."""
    assert [minutes_pico(minutes, 30) for minutes in (1, -1, 3, -3, 4, 0)] == [1, -1, 2, -2, 2, 0]
