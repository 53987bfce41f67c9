"""Quota in a world file: pools, what deployments have of them, and the limits that come of it."""

import pytest

from entrepot.core.capacity import Limit
from entrepot.core.periods import MINUTE, SECOND
from entrepot.core.quotas import RequestRatio, ratio_of
from entrepot.core.world import World
from entrepot.provisioning.changes import differences
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world
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


# ---- a deployment that is upgraded

NEXT = """
  - {id: gpt-5, partner: openai, context_tokens: 8192}
"""
UPGRADED = (
    SMALL.replace("stage: general}", "successor: {model: gpt-5, from: 2026-06-01}}" + NEXT.rstrip())
    .replace("models: [gpt-4]}", "models: [gpt-4, gpt-5]}")
    .replace(
        "          - {model: smollm2-135m, meter: input",
        '          - {model: gpt-5, meter: input_tokens, per_million: "30"}\n'
        '          - {model: gpt-5, meter: output_tokens, per_million: "60"}\n'
        "          - {model: smollm2-135m, meter: input",
    )
    .replace("tokens_per_minute: 240000}", "tokens_per_minute: 240000, upgrade: on_new_default}")
)
NEW = "  - {id: new, project: search, model: gpt-5, tokens_per_minute: 100000}\n"
OLD = "  - {id: old, project: search, model: gpt-4, tokens_per_minute: 60000, upgrade: never}\n"


def pools(**tokens: int) -> str:
    """gpt_4, gpt_5: the tokens per minute of their quotas."""
    rows = (
        f"  - {{customer: acme, model: {model.replace('_', '-')}, tokens_per_minute: {units}}}\n"
        for model, units in tokens.items()
    )
    return "quotas:\n" + "".join(rows)


def accepted(text: str) -> None:
    read_world([("world.yaml", text)])


def test_an_upgraded_deployment_has_its_tokens_from_the_pool_of_the_model_it_is_of() -> None:
    """Before the date from the old one, and from then on from the new one, where others may have some already."""
    accepted(UPGRADED + OLD + NEW + pools(gpt_4=300_000, gpt_5=340_000))
    (fault,) = faults_of(UPGRADED + OLD + NEW + pools(gpt_4=300_000, gpt_5=339_999))
    assert "deployment new: tokens_per_minute 100000 is 1 more than is left of the quota acme/gpt-5/global" in fault
    assert "from 2026-06-01T00:00:00Z on 240000 of 339999" in fault
    assert "(search/chat 240000), 99999 are left" in fault
    (fault,) = faults_of(UPGRADED + OLD + pools(gpt_4=299_999, gpt_5=10**6))
    assert "deployment old: tokens_per_minute 60000 is 1 more than is left of the quota acme/gpt-4/global" in fault


def test_the_order_in_which_deployments_are_declared_changes_nothing() -> None:
    text = UPGRADED.replace("deployments:\n", "deployments:\n" + NEW)
    (fault,) = faults_of(text + pools(gpt_5=339_999))
    assert "deployment chat: tokens_per_minute 240000 is 1 more than is left of the quota acme/gpt-5/global" in fault
    assert "from 2026-06-01T00:00:00Z on 100000 of 339999" in fault


def test_tokens_of_those_that_are_never_of_a_model_at_the_same_time_are_not_added_up() -> None:
    """The one leaves gpt-4 on the day on which the other comes to it."""
    came = (
        UPGRADED.replace(
            NEXT.strip(),
            NEXT.strip() + "\n  - {id: gpt-3, partner: openai, context_tokens: 8192, "
            "successor: {model: gpt-4}, stages: [{stage: retired, from: 2026-06-01}]}",
        )
        .replace("models: [gpt-4, gpt-5]}", "models: [gpt-3, gpt-4, gpt-5]}")
        .replace(
            "          - {model: gpt-5, meter: input_tokens",
            '          - {model: gpt-3, meter: input_tokens, per_million: "30"}\n'
            '          - {model: gpt-3, meter: output_tokens, per_million: "60"}\n'
            "          - {model: gpt-5, meter: input_tokens",
        )
    )
    other = "  - {id: came, project: search, model: gpt-3, tokens_per_minute: 240000, upgrade: on_retirement}\n"
    accepted(came + other + pools(gpt_4=240_000))
    chat, later = faults_of(came + other + pools(gpt_4=239_999))
    assert "deployment chat: tokens_per_minute 240000 is 1 more" in chat
    assert "deployment came: tokens_per_minute 240000 is 1 more" in later
    assert "from 2026-06-01T00:00:00Z on 0 of 239999" in later
    (fault,) = faults_of(came + other.replace("240000", "240001") + pools(gpt_4=240_000))
    assert "deployment came: tokens_per_minute 240001 is 1 more" in fault


def test_a_model_it_is_upgraded_to_that_has_quotas_has_one_for_it() -> None:
    (fault,) = faults_of(UPGRADED + pools(gpt_5=10**6).replace("model: gpt-5", "model: gpt-5, region: eu"))
    assert "customer acme has a quota for the model gpt-5, which the deployment is upgraded to, but none" in fault
    without = UPGRADED.replace(", tokens_per_minute: 240000", "")
    (fault,) = faults_of(without + pools(gpt_5=10**6))
    assert "tokens_per_minute is missing; say how much it has of the quota acme/gpt-5/global" in fault
    accepted(without.replace("on_new_default", "never") + pools(gpt_5=10**6))
