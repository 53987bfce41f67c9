"""A client that leaves while two upstreams are asked for it, or one of them is not connected yet."""

from collections.abc import Iterator

import pytest

from entrepot.core.log_records import Abandoned, AttemptEnded, UsageRecorded
from entrepot.core.upstream_rules import UpstreamRules
from tests.support.gateway import Gateway, eventually, running_gateway
from tests.support.hedging import NEVER_IN_TIME, connecting_when_told, nobody_is_left, pair, states
from tests.support.requests import chat, read_until, request_bytes


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def test_a_client_that_leaves_leaves_both(gateway: Gateway) -> None:
    first = pair(gateway, "stall=0")
    gateway.upstream.script = "stall=0"
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi", stream=True)))
        eventually(lambda: gateway.upstream.served)
    eventually(lambda: states(first, gateway.upstream) == [["cancelled"], ["cancelled"]])
    eventually(lambda: gateway.of(Abandoned))
    assert len(gateway.of(Abandoned)) + len(gateway.of(UsageRecorded)) == 1
    assert [ended.outcome for ended in gateway.of(AttemptEnded)] == ["outrun"]
    assert nobody_is_left(gateway)


def test_a_client_that_leaves_both_leaves_the_second_to_its_rule(gateway: Gateway) -> None:
    first = pair(gateway, "stall=0", second=UpstreamRules(on_client_abort="drain"))
    gateway.upstream.script = "stall=0"
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("two words")))
        eventually(lambda: gateway.upstream.served)
    eventually(lambda: gateway.flow.shared.left)
    gateway.let_go_on(gateway.upstream)
    usage = gateway.usage()
    assert (usage.upstream, usage.outcome) == ("second", "client_left")
    assert [(ended.upstream, ended.outcome) for ended in gateway.of(AttemptEnded)] == [("first", "outrun")]
    eventually(lambda: states(first) == [["cancelled"]])
    assert nobody_is_left(gateway)


def test_a_client_that_leaves_before_the_first_is_connected(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pair(gateway, "", NEVER_IN_TIME)
    waiting, may_connect = connecting_when_told(gateway, monkeypatch, first.port)
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi")))
        eventually(lambda: waiting)
    eventually(lambda: not gateway.api.connections)
    gateway.do(may_connect[first.port].set)
    eventually(lambda: sum(len(lane.connections) for lane in gateway.pool._lanes.values()) == 1)
    assert (first.served, gateway.upstream.served, gateway.sink.records) == ({}, {}, [])
    assert nobody_is_left(gateway)


def test_a_client_that_leaves_before_the_second_is_connected_leaves_the_first_to_its_rule(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pair(gateway, "stall=0", first=UpstreamRules(on_client_abort="drain"))
    waiting, may_connect = connecting_when_told(gateway, monkeypatch, gateway.upstream.port)
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("two words")))
        eventually(lambda: waiting)
    eventually(lambda: gateway.flow.shared.left)
    gateway.let_go_on(first)
    usage = gateway.usage()
    assert (usage.upstream, usage.outcome) == ("first", "client_left")
    assert usage.meters == {"input_tokens": 2, "output_tokens": 3}
    gateway.do(may_connect[gateway.upstream.port].set)
    eventually(lambda: sum(len(lane.connections) for lane in gateway.pool._lanes.values()) == 2)
    assert (gateway.upstream.served, gateway.of(AttemptEnded)) == ({}, [])
    assert nobody_is_left(gateway)


def test_a_client_that_leaves_the_winner_midway(gateway: Gateway) -> None:
    pair(gateway, "stall=0")
    gateway.upstream.script = "stall=2"
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=5]]", stream=True)))
        read_until(client, b"w2 ")
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.output_tokens) == ("client_left", 2)
    assert nobody_is_left(gateway)
