"""A deployment's queue in a world file: what is read, what is refused, what gateways get to see."""

import pytest

from entrepot.core.tenancy import Queueing
from entrepot.core.world import decode_world, encode_world
from entrepot.provisioning.changes import differences
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of
from tests.unit.provisioning.test_world_file import line_of, world

LIMITED = "model: gpt-4, tokens_per_minute: 240000}"


def with_queue(queue: str) -> str:
    return changed(LIMITED, f"{LIMITED[:-1]}, queue: {queue}}}")


def test_a_queue_is_read_with_its_default() -> None:
    read = world(with_queue("{for: 5s}"))
    assert [item.queue for item in read.deployments] == [Queueing(5, 100), None]
    assert decode_world(encode_world(read)) == read
    assert world(with_queue("{for: 1m, requests: 7}")).deployments[0].queue == Queueing(60, 7)


def test_gateways_get_to_see_it() -> None:
    text = with_queue("{for: 5s, requests: 7}")
    compiled = compile_snapshot(read_world([("w", text)]), (), {}, version=1, at=0)
    assert compiled.projects["search"].deployments["chat"].queue == Queueing(5, 7)


def test_a_change_is_said_in_words() -> None:
    [found] = differences(world(with_queue("{for: 5s}")), world(with_queue("{for: 9s, requests: 7}")))
    assert found.details == ("queue for_s: 5 → 9", "queue requests: 100 → 7")


@pytest.mark.parametrize(
    ("queue", "fault"),
    [
        ("{}", "queue: for is missing"),
        ("{for: 61s}", "queue: for must be at most 60s"),
        ("{for: 5s, requests: 0}", "queue: requests must be a whole number of at least 1, not '0'"),
        ("{for: 5s, requests: 10001}", "queue: requests must be at most 10000"),
        ("{for: 5s, request: 7}", "queue has an unknown key 'request'; did you mean 'requests'?"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(queue: str, fault: str) -> None:
    text = with_queue(queue)
    assert faults_of(text) == [f"world.yaml:{line_of('queue: {', text)}: {fault}"]


def test_a_queue_needs_a_limit() -> None:
    text = changed(LIMITED, "model: gpt-4, queue: {for: 5s}}", SMALL)
    [fault] = faults_of(text)
    assert "deployment chat: queue: it meets no limit" in fault
