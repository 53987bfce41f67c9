"""What gateways get to see of a world and its keys."""

import msgspec

from entrepot.core.periods import END_OF_TIME
from entrepot.core.snapshot import GatewaySnapshot, decode_snapshot, encode_snapshot
from entrepot.core.tenancy import ApiKey
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
    assert snapshot(KEY, revoked, of_no_project).keys == {"d1": ("key_1", "search")}


def test_a_snapshot_is_read_back_as_it_was_written() -> None:
    assert decode_snapshot(encode_snapshot(snapshot(KEY))) == snapshot(KEY)


def test_what_must_run_inside_this_machine() -> None:
    assert local_models(small_world()) == {("local", "smollm2-135m"): ("llama_cpp", "smollm2-135m")}


def test_a_deployment_that_nothing_can_serve_is_named() -> None:
    assert list(unserved(small_world())) == []
    without = "  - {id: local, kind: llama_cpp, models: [smollm2-135m]}\n"
    assert without in SMALL
    (note,) = unserved(small_world(**{without: ""}))
    assert note.startswith("deployment search/small: no upstream serves model smollm2-135m")
