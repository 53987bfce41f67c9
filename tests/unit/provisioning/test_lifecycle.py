"""Dated stages and grants in world files, and what is wrong with them."""

import pytest

from entrepot.core.errors import WorldRejected
from entrepot.core.lifecycle import Access, StageFrom
from entrepot.core.periods import END_OF_TIME, parse_instant
from tests.support.worlds import small_world


def with_model(more: str) -> dict[str, str]:
    return {"context_tokens: 8192, stage: general}": f"context_tokens: 8192, {more}}}"}


def test_stages_and_grants_are_read_in_utc() -> None:
    world = small_world(
        **with_model(
            "stage: preview, stages: [{stage: early_access, from: 2024-03-01}, {stage: deprecated, from: 2025-03-01}], "
            "access: [{customer: acme}, {customer: acme, from: 2024-03-01, to: 2024-04-01}]"
        )
    )
    (model,) = [item for item in world.models if item.id == "gpt-4"]
    march = parse_instant("2024-03-01")
    assert model.stage == "preview"
    assert model.stages == (StageFrom(march, "early_access"), StageFrom(parse_instant("2025-03-01"), "deprecated"))
    assert model.access == (Access("acme", 0, END_OF_TIME), Access("acme", march, parse_instant("2024-04-01")))
    assert [str(item) for item in (*model.stages[:1], *model.access)] == [
        "early_access from 2024-03-01T00:00:00Z",
        "acme",
        "acme from 2024-03-01T00:00:00Z to 2024-04-01T00:00:00Z",
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("stages: [{stage: preview, from: 2024-03-01}]", "preview cannot follow general"),
        (
            "stages: [{stage: retired, from: 2024-03-01}, {stage: deprecated, from: 2024-04-01}]",
            "cannot follow retired",
        ),
        ("stages: [{stage: deprecated, from: 2024-03-01}, {stage: retired, from: 2024-03-01}]", "in the order of time"),
        ("stages: [{stage: deprecated}]", "from is missing"),
        ("access: [{customer: acme, from: 2024-03-01, to: 2024-03-01}]", "to must be later than from"),
        ("access: [{customer: acne}]", "customer 'acne' is not declared; did you mean 'acme'?"),
    ],
)
def test_one_clear_fault_each(more: str, said: str) -> None:
    with pytest.raises(WorldRejected) as rejected:
        small_world(**with_model(more))
    assert len(rejected.value.message.splitlines()) == 1
    assert said in rejected.value.message
