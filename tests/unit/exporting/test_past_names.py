"""Names as they were at an instant: renamed, handed on, and after they were taken out of the world."""

import pytest

from entrepot.core.catalog import Model, Partner
from entrepot.core.world import Operator, World
from entrepot.exporting.past_names import PastNames


def world(operator: str, *partners: Partner, **models: str) -> World:
    made = (Model(name, "1", partner, context_tokens=1, stage="general") for name, partner in models.items())
    return World(operator=Operator(operator, "USD"), partners=partners, models=tuple(made))


NAMES = PastNames(
    [
        (10, world("Meridian", Partner("maker", "Maker"), m="maker", ours="own")),
        (20, world("Meridian", Partner("maker", "Taker"), m="maker", ours="own", later="maker")),
        (30, world("Altair")),
    ]
)


@pytest.mark.parametrize(
    ("at", "operator", "of_m", "of_ours", "of_later"),
    [
        (5, "Meridian", "Maker", "Meridian", "Taker"),
        (10, "Meridian", "Maker", "Meridian", "Taker"),
        (19, "Meridian", "Maker", "Meridian", "Taker"),
        (20, "Meridian", "Taker", "Meridian", "Taker"),
        (31, "Altair", "Taker", "Altair", "Taker"),
    ],
)
def test_a_name_is_that_of_the_last_world_by_then(
    at: int, operator: str, of_m: str, of_ours: str, of_later: str
) -> None:
    owners = tuple(NAMES.owner(model, at) for model in ("m", "ours", "later"))
    assert (NAMES.operator(at), owners) == (operator, (of_m, of_ours, of_later))


def test_what_was_never_declared_is_the_operators() -> None:
    assert NAMES.owner("", 25) == NAMES.owner("unknown", 25) == "Meridian"
