"""Provisioned deployments: admitted while their bucket is no more than full, refused or spilled when it is."""

from collections.abc import Iterator
from typing import Any

import pytest

from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.lifecycle import StageFrom
from entrepot.core.log_records import UsageRecorded
from entrepot.core.periods import END_OF_TIME
from entrepot.core.provisioned import SizingRule, throughput_limit
from entrepot.core.snapshot import ServedDeployment
from tests.support.gateway import KEY, Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import AZURE, Reply, ask, chat

RULE = SizingRule(minimum=1, step=1, input_tokens_per_minute=60, output_weight=8, burst_s=60)
ALWAYS = ((0, END_OF_TIME),)
PROMPT = "hello [[chunks=5]]"  # Of 1 token as its upstream counts; a load of 1 + 8 x 5.


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway(published=False) as running:
        yield running


def provisioned(gateway: Gateway, units: int = 1, **more: Any) -> ServedDeployment:
    """With so many units, of which one does a load of 60 a minute, and takes as much at once."""
    limit = ServedLimit(
        throughput_limit(f"provisioned/{units}", RULE, units), "provisioned_units", "the deployment search/peak",
        output_weight=8,
    )  # fmt: skip
    return deployment(
        "peak", target(gateway.upstream.base_url), limits=(limit,), **{"usable": ALWAYS, "model": "gpt-5.2"} | more
    )


def standard(gateway: Gateway, **more: Any) -> ServedDeployment:
    return deployment("chat", target(gateway.upstream.base_url), **{"model": "gpt-5.2"} | more)


def say(gateway: Gateway, model: str = "peak", **more: Any) -> Reply:
    return ask(gateway, chat(PROMPT, model=model, **more))


def fill(gateway: Gateway) -> None:
    """Until the bucket is over full: the last request may be of any size."""
    assert [say(gateway).status for _ in range(2)] == [200, 200]


def test_more_than_units_do_is_refused_until_the_bucket_has_leaked(gateway: Gateway) -> None:
    gateway.serve(provisioned(gateway))
    fill(gateway)
    refused = say(gateway)
    assert refused.status == 429
    why = refused.error["entrepot"]
    assert (why["limit"], why["measure"], why["units"]) == ("provisioned_units", "load", 60)
    # Two requests of 41 make 82, and one unit of load leaves it in a second.
    assert 15_000 < why["retry_after_ms"] <= 22_000
    assert int(refused.headers["retry-after-ms"]) == why["retry_after_ms"]
    assert refused.headers["x-should-retry"] == "true"


def test_an_estimate_that_was_too_high_is_given_back_by_the_usage(gateway: Gateway) -> None:
    gateway.serve(provisioned(gateway, 20))
    for _ in range(10):  # Each holds 8 x 100 and uses 41, of 1200.
        assert say(gateway, max_tokens=100).status == 200


def test_answers_say_how_busy_the_units_are(gateway: Gateway) -> None:
    gateway.serve(provisioned(gateway, 100))
    told = say(gateway, max_tokens=10).headers["azure-openai-deployment-utilization"]
    assert told.endswith("%")
    assert 0 <= float(told[:-1]) < 3


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_how_busy_they_are_is_true_until_they_are_full(gateway: Gateway, stream: bool) -> None:
    """Of 300, of which hardly any leaks. Each answer uses 41 and holds more, so the bucket is overfull meanwhile."""
    limit = ServedLimit(
        Limit("load", "load", "bucket", 300, drain=1),
        "provisioned_units",
        "the deployment search/peak",
        output_weight=8,
    )
    served = deployment("peak", target(gateway.upstream.base_url), limits=(limit,), usable=ALWAYS, model="gpt-5.2")
    gateway.serve(served)
    held = len("user") + len(PROMPT) + 6 + 8 * 10
    for number in range(8):
        told = say(gateway, max_tokens=10, stream=stream).headers["azure-openai-deployment-utilization"]
        full = 41 * number + (held if stream else 41)
        assert abs(float(told.removesuffix("%")) - min(100, 100 * full / 300)) < 1
        eventually(lambda number=number: len(gateway.of(UsageRecorded)) == number + 1)  # type: ignore[misc]
    refused = say(gateway, max_tokens=10)
    assert (refused.status, refused.headers["azure-openai-deployment-utilization"]) == (429, "100.0%")


def test_what_units_are_too_busy_for_spills_to_the_standard_deployment(gateway: Gateway) -> None:
    gateway.serve(provisioned(gateway, spillover="chat"), standard(gateway))
    fill(gateway)
    spilled = say(gateway)
    assert spilled.status == 200
    assert spilled.headers["x-ms-spillover-from-deployment"] == "peak"
    assert spilled.headers["x-ms-deployment-name"] == "chat"
    assert "x-ms-spillover-error" not in spilled.headers
    assert [record.event.deployment for record in gateway.of(UsageRecorded)] == ["peak", "peak", "chat"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_may_name_where_it_spills_to(gateway: Gateway, stream: bool) -> None:
    gateway.serve(provisioned(gateway), standard(gateway))
    fill(gateway)
    path = AZURE.format("peak")
    more = {"api-key": KEY, "x-ms-spillover-deployment": "chat"}
    spilled = ask(gateway, chat(PROMPT, stream=stream), path=path, headers=more)
    assert spilled.status == 200
    assert spilled.headers["x-ms-deployment-name"] == "chat"
    wrong = ask(gateway, chat(PROMPT), path=path, headers=more | {"x-ms-spillover-deployment": "nowhere"})
    assert wrong.status == 400
    assert "x-ms-spillover-deployment" in wrong.error["message"]


def test_one_that_cannot_spill_either_is_refused_as_it_was_at_first(gateway: Gateway) -> None:
    quota = ServedLimit(throughput_limit("other", RULE, 1), "provisioned_units", "the deployment search/chat")
    gateway.serve(provisioned(gateway, spillover="chat"), standard(gateway, limits=(quota,)))
    fill(gateway)
    while (spilled := say(gateway)).status == 200:
        assert spilled.headers["x-ms-deployment-name"] == "chat"
    assert spilled.status == 429
    assert spilled.error["entrepot"]["of"] == "the deployment search/peak"
    assert spilled.headers["x-ms-spillover-error"] == "capacity_exceeded"


def test_where_it_spills_to_is_used_as_its_stage_allows(gateway: Gateway) -> None:
    gateway.serve(provisioned(gateway, spillover="chat"), standard(gateway, stage="preview"))
    fill(gateway)
    refused = say(gateway)
    assert refused.status == 429
    assert refused.headers["x-ms-spillover-error"] == "permission_denied"
    gateway.serve(provisioned(gateway, spillover="chat"), standard(gateway, stages=(StageFrom(0, "deprecated"),)))
    while "x-ms-deployment-name" not in (spilled := say(gateway)).headers:
        assert spilled.status == 200
    assert (spilled.status, spilled.headers["deprecation"]) == (200, "@0")


def test_a_deployment_without_units_now_does_not_exist(gateway: Gateway) -> None:
    gateway.serve(provisioned(gateway, usable=((0, 1),)))
    refused = say(gateway)
    assert refused.status == 404
    assert "no provisioned units now" in refused.error["message"]
