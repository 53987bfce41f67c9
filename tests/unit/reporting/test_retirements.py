"""The calendar of deployments whose models are not there for good."""

import pytest

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
        [
            *("search/chat", "acme", "gpt-4", "general", "2024-04-01", "2024-06-01T12:00:00Z", "63"),
            "410 from 2024-06-01T12:00:00Z: no successor is named",
        ]
    ]


SUCCEEDED = (
    "stages: [{stage: retired, from: 2024-06-01}], successor: {model: gpt-4o, from: 2024-05-01}}\n  - {id: gpt-4o,"
)


@pytest.mark.parametrize(
    ("upgrade", "at", "model", "then"),
    [
        ("", "2024-04-30", "gpt-4", "upgraded to gpt-4o on 2024-06-01"),
        (", upgrade: on_new_default", "2024-04-30", "gpt-4", "upgraded to gpt-4o on 2024-05-01"),
        (", upgrade: on_new_default", "2024-05-01", "gpt-4o since 2024-05-01", "-"),
        (", upgrade: never", "2024-05-01", "gpt-4", "410 from 2024-06-01: upgrade is never"),
        (", upgrade: never", "2024-07-01", "gpt-4", "410 from 2024-06-01: upgrade is never"),
    ],
)
def test_what_becomes_of_a_deployment(upgrade: str, at: str, model: str, then: str) -> None:
    world = small_world(
        **{
            "context_tokens: 8192, stage: general}": (
                f"context_tokens: 8192, {SUCCEEDED} partner: openai, context_tokens: 8192}}"
            ),
            "tokens_per_minute: 240000}": f"tokens_per_minute: 240000{upgrade}}}",
            'meter: output_tokens, per_million: "60"}': (
                'meter: output_tokens, per_million: "60"}\n'
                '          - {model: gpt-4o, meter: input_tokens, per_million: "3"}\n'
                '          - {model: gpt-4o, meter: output_tokens, per_million: "6"}'
            ),
        }
    )
    (row,) = retirement_rows(retirements(world, parse_instant(at)))[1:]
    assert (row[2], row[-1]) == (model, then)


def test_models_that_are_simply_there_are_left_out() -> None:
    assert retirements(small_world(), parse_instant("2024-03-31")) == []
