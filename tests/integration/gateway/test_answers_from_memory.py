"""Gateways whose answers wait for memory: seen before the disk has their usage, and lost with no killed process."""

import resource
import signal
from collections.abc import Callable, Iterator

import pytest

from entrepot.core.log_records import UsageRecorded
from tests.support.disk_faults import FAILING_LOG, full, mend, no_room, no_sync, stall
from tests.support.fed_stream import FedUpstream
from tests.support.gateway import deployment, eventually, target
from tests.support.gateway_processes import Installation, installed
from tests.support.requests import Reply, ask, chat, connect, read_until, request_bytes

MEMORY = {"ENTREPOT_ANSWERS_WAIT_FOR": "memory"}

on_linux = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="another process's limits can be set on Linux only"
)


@pytest.fixture
def installation() -> Iterator[Installation]:
    with installed(FAILING_LOG) as made:
        made.begin()
        try:
            yield made
        finally:
            mend(made)


def usage_of(installation: Installation) -> list[str]:
    """The requests that the log has usage of."""
    return list(meters_of(installation))


def meters_of(installation: Installation) -> dict[str, dict[str, int]]:
    """The same, with what they used. What a killed process had written is there twice, word for word."""
    found: dict[str, UsageRecorded] = {}
    for record in installation.all_records():
        if isinstance(record, UsageRecorded):
            assert found.setdefault(record.event.id, record) == record
    return {name: record.event.meters for name, record in found.items()}


def id_of(reply: Reply) -> str:
    return reply.headers["x-request-id"]


@pytest.mark.parametrize("killed", ["gateway", "log", "both"])
def test_what_was_answered_is_in_the_log_whoever_is_killed(installation: Installation, killed: str) -> None:
    gateway = installation.start_gateway(**MEMORY)
    first = ask(installation, chat("hi"))
    eventually(lambda: usage_of(installation) == [id_of(first)])
    stall(installation)  # From here on nothing is flushed, so what is answered is in memory only.
    replies = [ask(installation, chat("hi", stream=number % 2 == 0)) for number in range(6)]
    assert [reply.status for reply in replies] == [200] * 6
    assert usage_of(installation) == [id_of(first)]
    if killed != "log":
        gateway.kill()
        gateway.wait()
    if killed != "gateway":
        installation.log.kill()
        installation.log.wait()
    mend(installation)
    if killed != "gateway":
        assert gateway.wait(30) == (1 if killed == "log" else -9)
        installation.start_log()
    answered = [id_of(reply) for reply in (first, *replies)]
    eventually(lambda: len(usage_of(installation)) >= len(answered))
    assert usage_of(installation) == answered


def test_a_disk_that_hangs_delays_no_answer(installation: Installation) -> None:
    installation.start_gateway(**MEMORY)
    first = ask(installation, chat("hi"))
    eventually(lambda: usage_of(installation) == [id_of(first)])
    stall(installation)
    with connect(installation) as client:
        client.sendall(request_bytes(chat("hi [[chunks=5]]", stream=True)))
        assert read_until(client, b"[DONE]")
    second = ask(installation, chat("hi"))
    assert usage_of(installation) == [id_of(first)]
    mend(installation)
    eventually(lambda: len(usage_of(installation)) == 3)
    assert usage_of(installation)[2] == id_of(second)


@on_linux
@pytest.mark.parametrize("fail", [full, no_room, no_sync])
def test_a_disk_that_fails_has_all_that_was_answered_once_it_is_back(
    installation: Installation, fail: Callable[[Installation], None]
) -> None:
    installation.start_gateway(**MEMORY)
    answered = [ask(installation, chat("hi"))]
    eventually(lambda: usage_of(installation) == [id_of(answered[0])])
    fail(installation)
    refused = ask(installation, chat("hi"))
    while refused.status == 200:  # Until the gateway has heard of it, which nobody waits for.
        answered.append(refused)
        refused = ask(installation, chat("hi"))
    for reply in (refused, ask(installation, chat("hi"))):
        assert (reply.status, reply.error["code"]) == (503, "usage_log_unavailable")
    assert ask(installation, path="/readyz").status == 503
    assert usage_of(installation) == [id_of(answered[0])]
    mend(installation)
    eventually(lambda: ask(installation, path="/readyz").status == 200)
    answered.append(ask(installation, chat("hi")))
    eventually(lambda: id_of(answered[-1]) in usage_of(installation))
    found = usage_of(installation)
    if id_of(refused) in found:  # It was under way when the gateway heard, and its usage is owed.
        found.remove(id_of(refused))
    assert found == [id_of(reply) for reply in answered]


def ask_until_refused(installation: Installation) -> list[str]:
    """The requests that were answered until the gateway had heard of its disk; the last one may have been under way."""
    answered = []
    while (reply := ask(installation, chat("hi"))).status == 200:
        answered.append(id_of(reply))
    assert reply.error["code"] == "usage_log_unavailable"
    return answered


@on_linux
@pytest.mark.parametrize("fail", [full, no_room, no_sync])
def test_a_stream_goes_on_beside_a_failing_disk_and_says_so_if_it_ends_meanwhile(
    installation: Installation, fail: Callable[[Installation], None]
) -> None:
    with FedUpstream() as upstream:
        installation.publish(
            deployment("chat", target(installation.base_url)), deployment("fed", target(upstream.base_url, "fed"))
        )
        installation.start_gateway(**MEMORY)
        with upstream.stream(installation, "fed") as one, upstream.stream(installation, "fed") as other:
            one.goes_on()
            other.goes_on()
            fail(installation)
            answered = ask_until_refused(installation)
            one.goes_on()
            other.goes_on()
            rest = one.ends()
            assert b'data: {"error":{"message":"Usage cannot be recorded' in rest
            assert b"[DONE]" not in rest
            mend(installation)
            eventually(lambda: one.id in usage_of(installation))
            eventually(lambda: ask(installation, path="/readyz").status == 200)
            assert other.ends().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    eventually(lambda: other.id in usage_of(installation))
    found = meters_of(installation)
    assert (found[one.id], found[other.id]) == (one.meters, other.meters)
    assert set(answered) <= found.keys()


@on_linux
@pytest.mark.parametrize("fail", [full, no_room, no_sync])
def test_a_gateway_told_to_stop_beside_a_failing_disk_stops_and_loses_nothing(
    installation: Installation, fail: Callable[[Installation], None]
) -> None:
    gateway = installation.start_gateway(**MEMORY)
    first = ask(installation, chat("hi"))
    eventually(lambda: usage_of(installation) == [id_of(first)])
    fail(installation)
    answered = ask_until_refused(installation)
    gateway.send_signal(signal.SIGTERM)
    assert gateway.wait(30) == 0
    mend(installation)
    eventually(lambda: {id_of(first), *answered} <= set(usage_of(installation)))
