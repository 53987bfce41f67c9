"""What gateways get to see of a world and its keys."""

import msgspec

from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.core.snapshot import GatewaySnapshot, ServedKey, decoding, encode_snapshot
from entrepot.core.tenancy import ApiKey
from entrepot.core.turns import at_once
from entrepot.provisioning.publish import compile_snapshot, local_models, unserved
from tests.support.worlds import SMALL, small_world

KEY = ApiKey(id="key_1", digest="d1", project="search", name="", created_at=1)
ADDRESSES = {("local", "smollm2-135m"): "http://127.0.0.1:4000/v1"}


def snapshot(*keys: ApiKey, addresses: dict[tuple[str, str], str] | None = None) -> GatewaySnapshot:
    addresses = ADDRESSES if addresses is None else addresses
    return compile_snapshot(small_world(), keys, addresses, version=7, at=0)


def test_a_deployment_comes_with_all_that_serving_it_needs() -> None:
    deployments = snapshot().projects["search"].deployments
    chat, small = deployments["chat"], deployments["small"]
    assert [(target.upstream, target.base_url, target.key_env) for target in chat.targets] == [
        ("east", "https://east.example/v1", "EAST_KEY")
    ]
    assert [(target.base_url, target.model, target.usage_lookup) for target in small.targets] == [
        ("http://127.0.0.1:4000/v1", "smollm2-135m", True)
    ]
    assert chat.owned_by == "openai"
    assert small.owned_by == "Meridian Cloud"
    assert small.operations == ("chat", "completions")


def test_a_provisioned_deployment_has_the_limit_of_its_units_and_exists_while_it_has_some() -> None:
    sizing = "provisioned: {minimum: 15, step: 5, input_tokens_per_minute_per_unit: 2500, output_weight: 4}"
    world = small_world(
        **{
            "context_tokens: 8192, stage: general}": f"context_tokens: 8192, stage: general, {sizing}}}",
            'meter: output_tokens, per_million: "60"}': (
                'meter: output_tokens, per_million: "60"}\n'
                '          - {model: gpt-4, meter: provisioned_unit_hours, each: "1"}'
            ),
            "tokens_per_minute: 240000}": (
                "kind: provisioned, units: [{from: 2024-03-01, units: 15}, {from: 2024-03-05, units: 20}, "
                "{from: 2024-04-01, units: 0}], spillover: plain}\n"
                "  - {id: plain, project: search, model: gpt-4}"
            ),
        }
    )
    served = compile_snapshot(world, (), ADDRESSES, version=7, at=0).projects["search"].deployments["chat"]
    march, fifth, april = (parse_instant(day) for day in ("2024-03-01", "2024-03-05", "2024-04-01"))
    assert served.usable == ((march, fifth), (fifth, april))
    assert served.spillover == "plain"
    assert [(one.begins, one.ends, one.limit.drain, one.output_weight) for one in served.limits] == [
        (march, fifth, 15 * 2500, 4),
        (fifth, april, 20 * 2500, 4),
    ]
    assert len({one.limit.id for one in served.limits}) == 1


def test_a_model_that_does_not_run_has_no_target() -> None:
    assert snapshot(addresses={}).projects["search"].deployments["small"].targets == ()


def test_models_inside_this_machine_are_preferred() -> None:
    world = small_world(**{"models: [gpt-4]": "models: [gpt-4, smollm2-135m]"})
    compiled = compile_snapshot(world, (), ADDRESSES, version=1, at=0)
    targets = compiled.projects["search"].deployments["small"].targets
    assert [target.upstream for target in targets] == ["local", "east"]


def test_only_keys_that_are_good_are_published() -> None:
    revoked = msgspec.structs.replace(KEY, id="key_2", digest="d2", revoked_at=5)
    of_no_project = msgspec.structs.replace(KEY, id="key_3", digest="d3", project="gone")
    assert KEY.revoked_at == END_OF_TIME
    assert snapshot(KEY, revoked, of_no_project).keys == {"d1": ServedKey("key_1", "search")}


def test_a_snapshot_is_read_back_as_it_was_written() -> None:
    assert at_once(decoding(encode_snapshot(snapshot(KEY)).splitlines())) == snapshot(KEY)


def test_what_must_run_inside_this_machine() -> None:
    assert local_models(small_world()) == {("local", "smollm2-135m"): ("llama_cpp", "smollm2-135m")}


def test_a_deployment_that_nothing_can_serve_is_named() -> None:
    assert list(unserved(small_world())) == []
    without = "  - {id: local, kind: llama_cpp, models: [smollm2-135m]}\n"
    assert without in SMALL
    (note,) = unserved(small_world(**{without: ""}))
    assert note.startswith("deployment search/small: no upstream serves model smollm2-135m")


def tiers(prices: str, **more: str) -> dict[str, tuple[tuple[int, int], ...]]:
    """The tiers of the deployment `small` with these further prices since 2024."""
    first = '- {model: gpt-4, meter: input_tokens, per_million: "30"}'
    rows = "\n".join([first, *(f"          - {{model: smollm2-135m, {row}}}" for row in prices.split("; ") if row)])
    compiled = compile_snapshot(small_world(**{first: rows, **more}), (), ADDRESSES, version=1, at=0)
    return compiled.projects["search"].deployments["small"].tiers


BATCH = 'meter: input_tokens, tier: batch, per_million: "0.05"; meter: output_tokens, tier: batch, per_million: "0.10"'
BEGINS = parse_instant("2024-01-01")


def test_a_tier_is_offered_while_the_contract_has_all_prices_for_it() -> None:
    assert tiers("") == {}
    assert tiers(BATCH.partition("; ")[0]) == {}
    assert tiers(BATCH) == {"batch": ((BEGINS, END_OF_TIME),)}


def test_a_tier_ends_with_the_prices_and_begins_with_the_contract() -> None:
    """Given a second version of the book that has no batch prices, and a contract that begins after the first one."""
    second = """\
customers:
  - {id: acme, name: Acme, parent: acme-group, market: US, since: 2023-06-01}
"""
    later = """\
      - effective_from: 2024-07-01
        prices:
          - {model: gpt-4, meter: input_tokens, per_million: "30"}
          - {model: gpt-4, meter: output_tokens, per_million: "60"}
          - {model: smollm2-135m, meter: input_tokens, per_million: "0.10"}
          - {model: smollm2-135m, meter: output_tokens, per_million: "0.20"}
"""
    contract = "    effective_from: 2024-01-01\n    price_book: list"
    changed = {second: later + second, contract: contract.replace("01-01", "02-01")}
    assert tiers(BATCH, **changed) == {"batch": ((parse_instant("2024-02-01"), parse_instant("2024-07-01")),)}


def test_whether_a_deployment_offers_a_tier_depends_on_the_time() -> None:
    compiled = compile_snapshot(small_world(), (), ADDRESSES, version=1, at=0)
    served = compiled.projects["search"].deployments["small"]
    batched = msgspec.structs.replace(served, tiers={"batch": ((10, 20),)})
    assert [batched.offers("batch", at) for at in (9, 10, 19, 20)] == [False, True, True, False]
    assert batched.offers("default", 0)
    assert not batched.offers("flex", 15)


def test_dated_stages_and_the_grants_of_the_customer_are_published() -> None:
    world = small_world(
        **{
            "context_tokens: 8192, stage: general}": (
                "context_tokens: 8192, stage: preview, stages: [{stage: general, from: 2024-04-01}, "
                "{stage: retired, from: 2025-04-01T12:00:00Z}], "
                "access: [{customer: acme, from: 2024-03-01, to: 2024-03-15}]}"
            )
        }
    )
    served = compile_snapshot(world, (), ADDRESSES, version=7, at=0).projects["search"].deployments["chat"]
    april, end = parse_instant("2024-04-01"), parse_instant("2025-04-01T12:00:00Z")
    assert served.granted == ((parse_instant("2024-03-01"), parse_instant("2024-03-15")),)
    assert [served.stage_at(at) for at in (0, april - 1, april, end - 1, end)] == [
        "preview", "preview", "general", "general", "retired",
    ]  # fmt: skip
    assert [served.admits(parse_instant(day)) for day in ("2024-02-29", "2024-03-01", "2024-03-15", "2024-04-01")] == [
        False, True, False, True,
    ]  # fmt: skip
