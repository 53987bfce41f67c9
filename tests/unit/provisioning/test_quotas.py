"""Quota in a world file: pools, what deployments have of them, and the limits that come of it."""

import pytest

from entrepot.core.capacity import Limit
from entrepot.core.periods import MINUTE, SECOND
from entrepot.core.quotas import RequestRatio, ratio_of
from entrepot.core.world import World
from entrepot.provisioning.changes import differences
from entrepot.provisioning.publish import compile_snapshot
from tests.support.worlds import SMALL, changed, faults_of, small_world

POOL = "quotas:\n  - {customer: acme, model: gpt-4, tokens_per_minute: 300000}\n"
SECOND_ONE = "  - {id: more, project: search, model: gpt-4, tokens_per_minute: 60000}\n"


def limits(world: World, deployment: str = "chat") -> list[Limit]:
    served = compile_snapshot(world, (), {}, version=1, at=0).projects["search"].deployments[deployment]
    return [item.limit for item in served.limits]


def test_a_deployment_has_its_tokens_and_the_requests_that_go_with_them() -> None:
    requests, tokens = limits(small_world())
    assert tokens == Limit("quota/search/chat/tokens", "tokens", "window", 240_000, MINUTE)
    assert requests == Limit("quota/search/chat/requests", "requests", "window", 240, 10 * SECOND)
    assert limits(small_world(), "small") == []


def test_a_model_can_say_how_many_requests_go_with_its_tokens() -> None:
    own = 'version: "0613", quota: {requests: 1, per_tokens: 4000, request_window: 1s},'
    requests, _ = limits(small_world(**{'version: "0613",': own}))
    assert (requests.units, requests.window) == (1, SECOND)


@pytest.mark.parametrize(
    ("model", "requests", "per_tokens"),
    [
        ("gpt-4", 6, 1_000),
        ("gpt-4o", 6, 1_000),
        ("gpt-35-turbo", 6, 1_000),
        ("o1", 1, 6_000),
        ("o1-preview", 1, 6_000),
        ("o1-mini", 1, 10_000),
        ("o3-pro", 1, 10_000),
        ("o3", 1, 1_000),
        ("o4-mini", 1, 1_000),
        ("gpt-4.1-mini", 1, 1_000),
        ("gpt-5.2", 1, 1_000),
        ("gpt-50", 6, 1_000),
    ],
)
def test_the_class_of_a_model_says_so_otherwise(model: str, requests: int, per_tokens: int) -> None:
    assert ratio_of(model) == RequestRatio(requests, per_tokens)


@pytest.mark.parametrize(
    ("tokens", "window_s", "units", "got_s"),
    [(100_000, 1, 10, 1), (11_000, 1, 11, 10), (1_000, 10, 1, 10), (1_500, 10, 9, 60), (10, 10, 1, 60)],
)
def test_a_window_is_longer_where_it_has_no_whole_number(tokens: int, window_s: int, units: int, got_s: int) -> None:
    assert RequestRatio(6, 1_000, window_s).limit(tokens) == (units, got_s * SECOND)


def test_deployments_share_the_quota_of_their_customer() -> None:
    world = small_world(**{SMALL: SMALL + SECOND_ONE + POOL})
    assert [quota.id for quota in world.quotas] == ["acme/gpt-4/global"]
    assert ("quota", "acme/gpt-4/global") in {(item.kind, item.id) for item in differences(small_world(), world)}


def test_what_is_more_than_is_left_is_refused_with_the_sum() -> None:
    (fault,) = faults_of(SMALL + SECOND_ONE.replace("60000", "60001") + POOL)
    assert fault.startswith(
        "world.yaml:30: deployment more: tokens_per_minute 60001 is 1 more than is left of the quota"
    )
    assert (
        "acme/gpt-4/global: 240000 of 300000 tokens per minute are assigned (search/chat 240000), 60000 are left"
        in fault
    )


def test_under_a_quota_each_deployment_says_what_it_has() -> None:
    (fault,) = faults_of(changed(", tokens_per_minute: 240000", "") + POOL)
    assert "tokens_per_minute is missing; say how much it has of the quota" in fault


def test_a_quota_is_of_a_region_and_a_geography() -> None:
    elsewhere = POOL.replace("model:", "region: eu, model:")
    (fault,) = faults_of(SMALL + elsewhere)
    assert "has a quota for the model gpt-4, but none without a region of geography global" in fault
    zone = POOL.replace("model:", "geography: data_zone, model:")
    assert "of geography global" in faults_of(SMALL + zone)[0]


def test_a_quota_is_declared_once_and_of_what_there_is() -> None:
    twice = POOL + POOL.splitlines()[1] + "\n"
    assert "declared" in faults_of(SMALL + twice)[0]
    assert "model 'gpt4' is not declared; did you mean 'gpt-4'?" in faults_of(SMALL + POOL.replace("gpt-4", "gpt4"))[0]
    assert "customer 'acne' is not declared" in faults_of(SMALL + POOL.replace("acme", "acne"))[0]


def test_a_tokenizer_must_be_one_that_is_known() -> None:
    world = small_world(**{'version: "0613",': 'version: "0613", tokenizer: cl100k_base,'})
    served = compile_snapshot(world, (), {}, version=1, at=0).projects["search"].deployments["chat"]
    assert served.tokenizer == "cl100k_base"
    (fault,) = faults_of(changed('version: "0613",', 'version: "0613", tokenizer: cl200k,'))
    assert "is not one of o200k_base, cl100k_base, o200k_harmony" in fault
