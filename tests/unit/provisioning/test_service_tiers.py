"""Tiers of service in a world file: what is read, what is refused, what gateways get to see."""

import pytest

from entrepot.core.service_tiers import FlexRules, PriorityRules, ServiceTiers
from entrepot.core.world import decode_world, encode_world
from entrepot.provisioning.changes import differences
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of
from tests.unit.provisioning.test_world_file import line_of, world

MODEL = "partner: openai, context_tokens: 8192, stage: general}"
UPSTREAM = "key_env: EAST_KEY, models: [gpt-4]}"
DEPLOYMENT = "tokens_per_minute: 240000}"
PRICE = '          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n'
OFFER = "{priority: {prompt_tokens_max: 4000}, flex: {}}"


def offered(tiers: str = OFFER, deployment: str = "", priced: tuple[str, ...] = ("priority", "flex")) -> str:
    """SMALL, whose model gpt-4 is offered at tiers, and has prices at some."""
    text = changed(MODEL, f"{MODEL[:-1]}, tokenizer: cl100k_base, service_tiers: {tiers}}}")
    text = changed(UPSTREAM, f"{UPSTREAM[:-1]}, max_concurrent: 100}}", text)
    rows = "".join(
        f'          - {{model: gpt-4, meter: {meter}, tier: {tier}, per_million: "{price}"}}\n'
        for tier in priced
        for meter, price in (("input_tokens", 45), ("output_tokens", 90))
    )
    text = changed(PRICE, PRICE + rows, text)
    return changed(DEPLOYMENT, f"{DEPLOYMENT[:-1]}{deployment}}}", text)


def test_what_a_model_is_offered_at_is_read_with_its_defaults() -> None:
    read = world(offered())
    assert read.models[0].service_tiers == ServiceTiers(PriorityRules(4000, 50, 1_000_000), FlexRules(50))
    assert [item.service_tier for item in read.deployments] == ["default", "default"]
    assert decode_world(encode_world(read)) == read
    own = "{priority: {growth_percent: 20, tokens_per_minute_free: 5}, flex: {busy_percent_max: 80}}"
    assert world(offered(own)).models[0].service_tiers == ServiceTiers(PriorityRules(0, 20, 5), FlexRules(80))


def test_gateways_get_to_see_it() -> None:
    compiled = compile_snapshot(
        read_world([("w", offered(deployment=", service_tier: priority"))]), (), {}, version=1, at=0
    )
    chat, small = compiled.projects["search"].deployments["chat"], compiled.projects["search"].deployments["small"]
    assert (chat.service_tier, chat.service_tiers) == ("priority", ServiceTiers(PriorityRules(4000), FlexRules()))
    assert sorted(chat.tiers) == ["flex", "priority"]
    assert (small.service_tier, small.service_tiers) == ("", None)


def test_a_change_is_said_in_words() -> None:
    before, after = world(offered()), world(offered("{priority: {}}", ", service_tier: priority"))
    model, deployment = differences(before, after)
    assert model.details == (
        "service_tiers priority prompt_tokens_max: 4000 → 0",
        "service_tiers flex: busy_percent_max (50) → none",
    )
    assert deployment.details == ("service_tier: default → priority",)


@pytest.mark.parametrize(
    ("tiers", "at", "fault"),
    [
        ("{fast: {}}", "service_tiers", "service_tiers of model gpt-4 has an unknown key 'fast'"),
        (
            "{flex: {busy_percent_max: 101}}",
            "service_tiers",
            "flex of service_tiers of model gpt-4: busy_percent_max must be at most 100",
        ),
        (
            "{priority: {growth_percent: -1}}",
            "service_tiers",
            "growth_percent must be a whole number of at least 0, not '-1'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tiers: str, at: str, fault: str) -> None:
    text = offered(tiers)
    [found] = faults_of(text)
    assert found.startswith(f"world.yaml:{line_of(at, text)}: ")
    assert fault in found


def test_a_default_tier_must_be_offered_and_priced() -> None:
    [fault] = faults_of(offered("{flex: {}}", ", service_tier: priority"))
    assert "the model gpt-4 is not offered at priority" in fault
    [fault] = faults_of(offered(OFFER, ", service_tier: priority", ("flex",)))
    assert "model gpt-4 has no price for input_tokens and output_tokens at tier priority" in fault
    [fault] = faults_of(
        changed(
            "model: smollm2-135m}\n",
            "model: smollm2-135m, service_tier: fast}\n",
            SMALL.replace("  - {id: small", "  - {id: small", 1),
        )
    )
    assert "service_tier 'fast' is not one of default, priority, flex" in fault


def test_what_a_deployment_is_upgraded_to_must_be_offered_at_its_tier() -> None:
    text = offered(deployment=", service_tier: flex")
    text = text.replace(
        "stage: general, tokenizer",
        "stages: [{stage: retired, from: 2030-01-01}], successor: {model: smollm2-135m}, tokenizer",
    )
    faults = faults_of(text)
    assert any("the model smollm2-135m, which it is upgraded to, is not offered at flex" in fault for fault in faults)
    assert any(
        "model smollm2-135m has no price for input_tokens and output_tokens at tier flex" in fault for fault in faults
    )


def test_provisioned_deployments_have_no_tiers() -> None:
    text = offered(deployment=", service_tier: flex")
    text = changed("tokens_per_minute: 240000, service_tier", "kind: provisioned, units: 5, service_tier", text)
    assert any("provisioned deployments have no tiers of service" in fault for fault in faults_of(text))


def test_what_a_rule_is_measured_by_must_be_known() -> None:
    [fault] = faults_of(offered().replace("tokenizer: cl100k_base, ", ""))
    assert "prompt_tokens_max needs a tokenizer" in fault
    [fault] = faults_of(offered().replace(", max_concurrent: 100", ""))
    assert "it serves gpt-4, which is offered at flex: max_concurrent must say" in fault
