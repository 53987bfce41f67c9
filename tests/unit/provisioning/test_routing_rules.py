"""What a world file lays down about routing: read, refused with its line, and put in a snapshot."""

import pytest

from entrepot.core.errors import WorldRejected
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.upstream_rules import HealthRules, PoolRules, Timeouts, UpstreamRules
from entrepot.core.world import World
from entrepot.provisioning.changes import differences
from entrepot.provisioning.publish import compile_snapshot
from tests.support.worlds import SMALL, small_world

EAST = "models: [gpt-4]}"
WEST = f"""{EAST}
  - {{id: west, kind: openai, base_url: "https://west.example/v1", models: [gpt-4], region: us-west, weight: 3}}
  - {{id: spare, kind: openai, base_url: "https://spare.example/v1", models: {{gpt-4: g4}}, weight: {{gpt-4: 0}}}}"""


def served(world: World, name: str = "chat") -> ServedDeployment:
    addresses = {("local", "smollm2-135m"): "http://127.0.0.1:4000/v1"}
    return compile_snapshot(world, (), addresses, version=1, at=0).projects["search"].deployments[name]


def order(deployment: ServedDeployment) -> list[tuple[str, int, int]]:
    return [(target.upstream, target.rank, target.weight) for target in deployment.targets]


def test_rules_are_read_and_published() -> None:
    rules = (
        "region: eu, max_concurrent: 8, on_client_abort: no_bill, key_file: /run/key, "
        "timeouts: {connect_ms: 100, total_ms: 9000}, health: {failures: 2, check_path: /models}, " + EAST
    )
    world = small_world(**{"key_env: EAST_KEY, " + EAST: rules})
    [east, _] = world.upstreams
    assert east.rules == UpstreamRules(
        region="eu",
        max_concurrent=8,
        on_client_abort="no_bill",
        timeouts=Timeouts(connect_ms=100, total_ms=9000),
        health=HealthRules(failures=2, check_path="/models"),
    )
    snapshot = compile_snapshot(world, (), {}, version=1, at=0)
    assert snapshot.upstreams["east"] == east.rules
    [target] = served(world).targets
    assert (target.key, east.key) == ("/run/key", "/run/key")


@pytest.mark.parametrize(("declared", "rule"), [("", "drain"), ("usage_lookup: true, ", "cancel")])
def test_what_a_client_leaves_unread_is_known_exactly_unless_declared_otherwise(declared: str, rule: str) -> None:
    [east, local] = small_world(**{EAST: declared + EAST}).upstreams
    assert (east.rules.on_client_abort, local.rules.on_client_abort) == (rule, "cancel")


def test_requests_are_spread_by_weight_and_what_has_none_stands_by() -> None:
    assert order(served(small_world(**{EAST: WEST}))) == [("east", 0, 1), ("west", 0, 3), ("spare", 1, 1)]


def test_a_region_comes_first_or_alone() -> None:
    project = "{id: search, customer: acme}"
    near = small_world(**{EAST: WEST, project: "{id: search, customer: acme, region: us-west}"})
    assert [name for name, _, _ in order(served(near))] == ["west", "east", "spare"]
    only = small_world(**{EAST: WEST, "tokens_per_minute: 240000": "region: us-west, residency: require"})
    assert order(served(only)) == [("west", 0, 3)]


def test_a_deployments_routing_stands_in_place_of_its_models() -> None:
    model = {"stage: general": "stage: general, routing: {sticky: prompt, retries: 1}"}
    assert served(small_world(**model)).routing == PoolRules(sticky="prompt", retries=1)
    both = model | {"tokens_per_minute: 240000": "routing: {retry_percent: 5}"}
    assert served(small_world(**both)).routing == PoolRules(retry_percent=5)
    assert served(small_world(), "small").routing == PoolRules()


def test_a_difference_names_the_rule() -> None:
    changed = small_world(**{EAST: "max_concurrent: 8, timeouts: {connect_ms: 100}, " + EAST})
    [difference] = differences(small_world(), changed)
    assert difference.details == ("rules max_concurrent: 0 → 8", "rules timeouts connect_ms: 5000 → 100")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (EAST, "weight: 101, " + EAST, "weight must be at most 100"),
        (EAST, "weight: {gpt-5: 1}, " + EAST, "weight of upstream east has an unknown key 'gpt-5'"),
        (EAST, "on_client_abort: stop, " + EAST, "on_client_abort 'stop' is not one of drain, cancel, no_bill"),
        (EAST, "timeouts: {total_s: 5}, " + EAST, "timeouts of upstream east has an unknown key 'total_s'"),
        (EAST, "health: {check_path: models}, " + EAST, "check_path must begin with a slash"),
        (EAST, "health: {eject_ms: 9, eject_ms_max: 8}, " + EAST, "eject_ms_max must be at least eject_ms"),
        (EAST, "key_file: /run/key, " + EAST, "key_env and key_file are two places for one key"),
        ("key_env: EAST_KEY", "key_file: key", "a path that begins with a slash"),
        ("tokens_per_minute: 240000", "region: mars", "region 'mars' is not declared"),
        ("tokens_per_minute: 240000", "residency: require", "residency needs a region beside it"),
        ("tokens_per_minute: 240000", "routing: {retries: 11}", "retries must be at most 10"),
        ("kind: llama_cpp,", "kind: llama_cpp, key_file: /k,", "key_file is for kind openai"),
    ],
)
def test_what_cannot_be_meant_is_refused(old: str, new: str, said: str) -> None:
    assert old in SMALL
    with pytest.raises(WorldRejected, match=said):
        small_world(**{old: new})


def test_a_required_region_must_serve_the_model() -> None:
    with pytest.raises(WorldRejected, match="no upstream in the region eu serves the model gpt-4"):
        small_world(
            **{
                "kind: llama_cpp,": "kind: llama_cpp, region: eu,",
                "{id: search, customer: acme}": "{id: search, customer: acme, region: eu, residency: require}",
            }
        )
