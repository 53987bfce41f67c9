"""The calendar of deployments whose models are not there for good."""

from entrepot.core.periods import parse_instant
from entrepot.reporting.retirements import retirement_rows, retirements
from tests.support.worlds import small_world


def test_deployments_by_the_date_their_model_is_retired() -> None:
    world = small_world(
        **{
            "context_tokens: 8192, stage: general}": (
                "context_tokens: 8192, stages: [{stage: deprecated, from: 2024-04-01}, "
                "{stage: retired, from: 2024-06-01T12:00:00Z}]}"
            )
        }
    )
    before = retirements(world, parse_instant("2024-03-31"))
    assert [(row.deployment, row.customer, row.model) for row in before] == [("search/chat", "acme", "gpt-4")]
    told = [
        before[0],
        *retirements(world, parse_instant("2024-06-01")),
        *retirements(world, parse_instant("2024-06-02")),
    ]
    assert [(row.stage, row.days_left) for row in told] == [("general", 63), ("deprecated", 1), ("retired", 0)]
    assert retirement_rows(before)[1:] == [
        ["search/chat", "acme", "gpt-4", "general", "2024-04-01", "2024-06-01T12:00:00Z", "63"]
    ]


def test_models_that_are_simply_there_are_left_out() -> None:
    assert retirements(small_world(), parse_instant("2024-03-31")) == []
