"""Requests that ask a second upstream when the first one is slow to answer."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from entrepot.core.log_records import Abandoned, Attempted, AttemptEnded, UsageRecorded
from entrepot.core.upstream_rules import PoolRules, UpstreamRules
from tests.scripted_upstream import ScriptedUpstream
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import Reply, ask, chat, read_until, request_bytes
from tests.support.usage_rows import row

SOON = PoolRules(hedge_after_ms=20)
NEVER_IN_TIME = PoolRules(hedge_after_ms=60_000)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def pair(gateway: Gateway, script: str, routing: PoolRules = SOON, **rules: UpstreamRules) -> ScriptedUpstream:
    """Serves `chat` from a first upstream that does as the script says, and from the gateway's own as the second."""
    first = gateway.another_upstream(script)
    targets = target(first.base_url, "first"), target(gateway.upstream.base_url, "second", rank=1)
    gateway.serve(deployment("chat", *targets, routing=routing), **rules)
    return first


def states(*upstreams: ScriptedUpstream) -> list[list[str]]:
    return [[served.state for served in upstream.served.values()] for upstream in upstreams]


def nobody_is_left(gateway: Gateway) -> bool:
    return all(endpoint.in_flight == 0 for endpoint in gateway.flow.ways.fleet.endpoints.values())


@row("outrun")
@pytest.mark.parametrize("stream", [False, True])
def test_the_second_answers_and_the_first_is_stopped(gateway: Gateway, stream: bool) -> None:
    first = pair(gateway, "stall=0")
    reply = ask(gateway, chat("two words", stream=stream))
    assert reply.status == 200
    eventually(lambda: states(first, gateway.upstream) == [["cancelled"], ["finished"]])
    usage = gateway.usage()
    assert (usage.upstream, usage.meters) == ("second", {"input_tokens": 2, "output_tokens": 3})
    [attempted] = gateway.of(Attempted)
    [ended] = gateway.of(AttemptEnded)
    assert (attempted.number, attempted.upstream) == (2, "second")
    assert (ended.number, ended.upstream, ended.outcome, ended.meters) == (1, "first", "outrun", {})
    assert gateway.admitted().upstream == "first"
    assert gateway.flow.shared.hedges == 1
    assert nobody_is_left(gateway)


@row("outrun")
@pytest.mark.parametrize("stream", [False, True])
def test_the_first_answers_after_all_and_what_the_second_used_is_ours(gateway: Gateway, stream: bool) -> None:
    drain = UpstreamRules(on_client_abort="drain")
    first = pair(gateway, "stall=0 chunks=1", first=drain, second=drain)
    gateway.upstream.script = "stall=0 chunks=2"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway, chat("hi", stream=stream))
        eventually(lambda: gateway.upstream.served)
        gateway.let_go_on(first)
        assert asked.result().status == 200
    usage = gateway.usage()
    assert (usage.upstream, usage.meters) == ("first", {"input_tokens": 1, "output_tokens": 1})
    gateway.let_go_on(gateway.upstream)
    eventually(lambda: len(gateway.of(AttemptEnded)) == 2)
    begun, ended = gateway.of(AttemptEnded)
    assert (ended.number, ended.upstream, ended.outcome) == (2, "second", "outrun")
    assert (begun.number, begun.upstream, begun.outcome, begun.meters) == (2, "second", "outrun", {})
    assert ended.meters == {"input_tokens": 1, "output_tokens": 2}
    eventually(lambda: states(gateway.upstream) == [["finished"]])
    assert nobody_is_left(gateway)


def test_one_that_answers_in_time_is_asked_alone(gateway: Gateway) -> None:
    pair(gateway, "", NEVER_IN_TIME)
    for stream in (False, True):
        assert ask(gateway, chat("hi", stream=stream)).status == 200
    assert gateway.upstream.served == {}
    assert gateway.of(Attempted) == []


def ask_both(gateway: Gateway, sooner: ScriptedUpstream, later: ScriptedUpstream, *, stream: bool = False) -> Reply:
    """The answer to a request at which both have stalled: one goes on, and once its attempt has ended the other."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway, chat("hi", stream=stream))
        eventually(lambda: gateway.upstream.served)
        gateway.let_go_on(sooner)
        eventually(lambda: gateway.of(AttemptEnded))
        gateway.let_go_on(later)
        return asked.result()


def test_a_refusal_of_one_leaves_the_answer_to_the_other(gateway: Gateway) -> None:
    first = pair(gateway, "stall=0 status=500 billed=1")
    gateway.upstream.script = "stall=0"
    assert ask_both(gateway, first, gateway.upstream).status == 200
    [ended] = gateway.of(AttemptEnded)
    assert (ended.upstream, ended.outcome, ended.status) == ("first", "refused", 500)
    assert ended.meters["output_tokens"] == 3
    assert gateway.usage().upstream == "second"
    assert nobody_is_left(gateway)


@pytest.mark.parametrize("breaks", ["first", "second"])
def test_one_that_breaks_leaves_the_answer_to_the_other(gateway: Gateway, breaks: str) -> None:
    first = pair(gateway, "stall=0")
    gateway.upstream.script = "stall=0"
    one, other = (first, gateway.upstream) if breaks == "first" else (gateway.upstream, first)
    one.script = "stall=0 break=0"
    assert ask_both(gateway, one, other, stream=True).events()[-1] == "[DONE]"
    [ended] = gateway.of(AttemptEnded)
    assert (ended.upstream, ended.outcome) == (breaks, "broken")
    assert gateway.usage().upstream == ("second" if breaks == "first" else "first")
    assert nobody_is_left(gateway)


def test_where_both_fail_the_last_one_is_told(gateway: Gateway) -> None:
    first = pair(gateway, "stall=0 status=500")
    gateway.upstream.script = "stall=0 status=503"
    assert ask_both(gateway, first, gateway.upstream).status == 503
    assert gateway.usage().upstream == "second"
    assert [ended.status for ended in gateway.of(AttemptEnded)] == [500]
    assert nobody_is_left(gateway)


def test_a_retry_is_not_hedged(gateway: Gateway) -> None:
    third = gateway.another_upstream()
    first = gateway.another_upstream("status=500")
    targets = (
        target(first.base_url, "first"),
        target(gateway.upstream.base_url, "second", rank=1),
        target(third.base_url, "third", rank=2),
    )
    gateway.serve(deployment("chat", *targets, routing=SOON))
    gateway.upstream.script = "delay=0.05"
    assert ask(gateway, chat("hi")).status == 200
    assert third.served == {}
    assert [ended.outcome for ended in gateway.of(AttemptEnded)] == ["refused"]


@pytest.mark.parametrize("soonest", ["first", "second"])
def test_a_log_that_fails_before_either_is_asked_refuses_once(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, soonest: str
) -> None:
    first = pair(gateway, "")
    ports = [first.port, gateway.upstream.port]
    may_connect = {port: asyncio.Event() for port in ports}
    waiting: list[int] = []
    connect = gateway.loop.create_connection

    async def when_told(made: Any, host: str, port: int, **how: Any) -> Any:
        waiting.append(port)
        await may_connect[port].wait()
        return await connect(made, host, port, **how)

    monkeypatch.setattr(gateway.loop, "create_connection", when_told)
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi")))
        eventually(lambda: waiting == ports)
        gateway.sink.available = False
        sooner, later = ports if soonest == "first" else reversed(ports)
        gateway.do(may_connect[sooner].set)
        assert read_until(client, b"}}").startswith(b"HTTP/1.1 503 ")
        gateway.sink.available = True
        gateway.do(may_connect[later].set)
        eventually(lambda: sum(len(lane.connections) for lane in gateway.pool._lanes.values()) == 2)
        client.sendall(request_bytes(b"{"))
        assert read_until(client, b"}}").startswith(b"HTTP/1.1 400 ")
    assert (first.served, gateway.upstream.served, gateway.sink.records) == ({}, {}, [])
    assert nobody_is_left(gateway)


def test_a_hedge_takes_from_the_retry_budget(gateway: Gateway) -> None:
    pair(gateway, "delay=0.05", PoolRules(hedge_after_ms=10, retry_percent=0))
    assert ask(gateway, chat("hi")).status == 200
    assert gateway.upstream.served == {}


def test_a_request_that_no_upstream_takes_hedges_nothing(gateway: Gateway) -> None:
    narrow = UpstreamRules(max_concurrent=1)
    first = pair(gateway, "stall=0", first=narrow, second=narrow)
    gateway.upstream.script = "stall=0"
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi", stream=True)))
        eventually(lambda: first.served and gateway.upstream.served)
        assert ask(gateway, chat("hi")).error["code"] == "upstream_busy"
        gateway.run(asyncio.sleep(0.1))  # Longer than it would take to hedge.
        assert gateway.errors == []
    eventually(lambda: nobody_is_left(gateway))


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


def test_a_client_that_leaves_the_winner_midway(gateway: Gateway) -> None:
    pair(gateway, "stall=0")
    gateway.upstream.script = "stall=2"
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=5]]", stream=True)))
        read_until(client, b"w2 ")
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.output_tokens) == ("client_left", 2)
    assert nobody_is_left(gateway)
