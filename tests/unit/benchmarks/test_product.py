"""What the benchmark takes for a request metered as the mock upstream reported it."""

import msgspec
import pytest

from benchmarks.gateway.product import check, world_text
from entrepot.core.usage_event import UsageEvent
from entrepot.provisioning.world_file import read_world

GOOD = UsageEvent(
    id="1",
    admitted_at=1,
    finished_at=2,
    customer="customer-0",
    project="project-0",
    deployment="d",
    model="m",
    tier="default",
    meters={"input_tokens": 212, "output_tokens": 96},
    raw=b'{"prompt_tokens":212,"completion_tokens":96}',
)


def test_plain_and_streamed_usage_as_reported_is_good() -> None:
    check(GOOD)
    streamed = {"meters": {"input_tokens": 212, "output_tokens": 50}, "raw": b'{"completion_tokens": 50}'}
    check(msgspec.structs.replace(GOOD, **streamed))


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "counted"},
        {"meters": {"input_tokens": 211, "output_tokens": 96}},
        {"meters": {"input_tokens": 212, "output_tokens": 97}},
        {"meters": {}},
    ],
)
def test_anything_else_stops_the_run(wrong: dict[str, object]) -> None:
    with pytest.raises(RuntimeError, match="metered wrongly"):
        check(msgspec.structs.replace(GOOD, **wrong))


def test_the_world_that_is_served_is_a_world() -> None:
    world = read_world([("world.yaml", world_text(3, "http://127.0.0.1:9000/v1", deployments=2))])
    assert (len(world.customers), len(world.deployments)) == (3, 6)
    assert world.upstreams[0].base_url == "http://127.0.0.1:9000/v1"
