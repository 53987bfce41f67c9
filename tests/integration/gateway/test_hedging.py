"""Requests that ask a second upstream when the first one is slow to answer."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from entrepot.core.log_records import Attempted, AttemptEnded
from entrepot.core.upstream_rules import PoolRules, UpstreamRules
from tests.scripted_upstream import ScriptedUpstream
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.hedging import NEVER_IN_TIME, SOON, connecting_when_told, nobody_is_left, pair, states
from tests.support.requests import Reply, ask, chat, read_until, request_bytes
from tests.support.usage_rows import row


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def in_trouble(gateway: Gateway) -> list[str]:
    """The upstreams that the fleet knows to have failed."""
    return [one.upstream for one in gateway.flow.ways.fleet.endpoints.values() if one.health.troubled]


class Timer(NamedTuple):
    """After so many seconds a second upstream is asked. expired: does that now."""

    seconds: float
    expired: Callable[[], None]
    handle: asyncio.TimerHandle


def timers_of(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[Timer]:
    """Those that are set from now on."""
    timers = []
    later = gateway.flow.ways.later

    def noted(seconds: float, expired: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append(Timer(seconds, expired, later(seconds, expired)))
        return timers[-1].handle

    monkeypatch.setattr(gateway.flow.ways, "later", noted)
    return timers


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
    assert (ended.status, ended.meters) == (200, {"input_tokens": 1, "output_tokens": 2})
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
    assert in_trouble(gateway) == ["first"]
    assert nobody_is_left(gateway)


@pytest.mark.parametrize(("script", "outcome"), [("break=0", "broken"), ("gzip=1", "unusable")])
@pytest.mark.parametrize("breaks", ["first", "second"])
def test_one_that_breaks_leaves_the_answer_to_the_other(
    gateway: Gateway, breaks: str, script: str, outcome: str
) -> None:
    first = pair(gateway, "stall=0")
    gateway.upstream.script = "stall=0"
    one, other = (first, gateway.upstream) if breaks == "first" else (gateway.upstream, first)
    one.script = f"stall=0 {script}"
    assert ask_both(gateway, one, other, stream=True).events()[-1] == "[DONE]"
    [ended] = gateway.of(AttemptEnded)
    assert (ended.upstream, ended.outcome) == (breaks, outcome)
    assert gateway.usage().upstream == ("second" if breaks == "first" else "first")
    assert in_trouble(gateway) == [breaks]
    assert nobody_is_left(gateway)


def test_one_that_a_bug_of_ours_ends_leaves_the_answer_to_the_other(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pair(gateway, "stall=0", NEVER_IN_TIME)
    timers = timers_of(gateway, monkeypatch)

    def no_tap(media_type: bytes) -> None:
        del media_type
        raise RuntimeError("no tap")

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway, chat("hi", stream=True))
        eventually(lambda: first.served)
        [connection] = gateway.api.connections
        connection._working._new_tap = no_tap  # type: ignore[attr-defined]
        gateway.do(timers[0].expired)
        eventually(lambda: gateway.of(AttemptEnded))
        gateway.let_go_on(first)
        assert asked.result().status == 200
    assert [(ended.upstream, ended.outcome) for ended in gateway.of(AttemptEnded)] == [("second", "broken")]
    assert gateway.usage().upstream == "first"
    assert nobody_is_left(gateway)
    assert [str(error["exception"]) for error in gateway.errors] == ["no tap"]
    gateway.errors.clear()


@row("outrun")
@pytest.mark.parametrize(
    ("script", "outcome", "status"), [("break=0", "broken", 0), ("gzip=1", "unusable", 0), ("junk=1", "outrun", 200)]
)
def test_one_that_is_outrun_and_says_nothing_of_its_use(
    gateway: Gateway, script: str, outcome: str, status: int
) -> None:
    first = pair(gateway, f"stall=0 {script}", first=UpstreamRules(on_client_abort="drain"))
    assert ask(gateway, chat("hi")).status == 200
    gateway.let_go_on(first)
    eventually(lambda: len(gateway.of(AttemptEnded)) == 2)
    ended = gateway.of(AttemptEnded)[1]
    assert (ended.upstream, ended.outcome, ended.status, ended.raw) == ("first", outcome, status, b"")
    assert gateway.usage().upstream == "second"
    assert nobody_is_left(gateway)


@row("outrun")
def test_one_that_is_outrun_is_not_asked_again_where_its_connection_had_gone_stale(gateway: Gateway) -> None:
    first = gateway.another_upstream()
    gateway.serve(deployment("chat", target(first.base_url, "first")))
    assert ask(gateway, chat("hi")).status == 200
    targets = target(first.base_url, "first"), target(gateway.upstream.base_url, "second", rank=1)
    gateway.serve(deployment("chat", *targets, routing=SOON), first=UpstreamRules(on_client_abort="drain"))
    first.script = "stall=0 break=0"
    assert ask(gateway, chat("hi")).status == 200
    gateway.let_go_on(first)
    eventually(lambda: len(gateway.of(AttemptEnded)) == 2)
    assert [(ended.upstream, ended.outcome) for ended in gateway.of(AttemptEnded)] == [
        ("first", "outrun"),
        ("first", "broken"),
    ]
    assert (len(first.served), first.connections) == (2, 2)
    assert nobody_is_left(gateway)


@row("outrun")
def test_one_that_is_outrun_is_read_though_its_client_took_no_more(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pair(gateway, "stall=0", NEVER_IN_TIME, first=UpstreamRules(on_client_abort="drain"))
    timers = timers_of(gateway, monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway, chat("hi"))
        eventually(lambda: first.served)
        [connection] = gateway.api.connections
        gateway.do(lambda: connection._working.pause(True))  # type: ignore[attr-defined]
        gateway.do(timers[0].expired)
        assert asked.result().status == 200
    gateway.let_go_on(first)
    eventually(lambda: len(gateway.of(AttemptEnded)) == 2)
    assert gateway.of(AttemptEnded)[1].meters == {"input_tokens": 1, "output_tokens": 3}
    assert nobody_is_left(gateway)


def test_where_both_fail_the_last_one_is_told(gateway: Gateway) -> None:
    first = pair(gateway, "stall=0 status=500")
    gateway.upstream.script = "stall=0 status=503"
    assert ask_both(gateway, first, gateway.upstream).status == 503
    assert gateway.usage().upstream == "second"
    assert [ended.status for ended in gateway.of(AttemptEnded)] == [500]
    assert nobody_is_left(gateway)


@pytest.mark.parametrize(("script", "outcome"), [("status=500", "refused"), ("break=0", "broken")])
def test_a_retry_is_not_hedged(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, script: str, outcome: str) -> None:
    third = gateway.another_upstream()
    first = gateway.another_upstream(script)
    targets = (
        target(first.base_url, "first"),
        target(gateway.upstream.base_url, "second", rank=1),
        target(third.base_url, "third", rank=2),
    )
    gateway.serve(deployment("chat", *targets, routing=NEVER_IN_TIME))
    gateway.upstream.script = "stall=0"
    timers = timers_of(gateway, monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway, chat("hi"))
        eventually(lambda: gateway.upstream.served)
        assert [(timer.seconds, timer.handle.cancelled()) for timer in timers] == [(60, True)]
        gateway.let_go_on(gateway.upstream)
        assert asked.result().status == 200
    assert third.served == {}
    assert [ended.outcome for ended in gateway.of(AttemptEnded)] == [outcome]


@pytest.mark.parametrize("soonest", ["first", "second"])
def test_a_log_that_fails_before_either_is_asked_refuses_once(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, soonest: str
) -> None:
    first = pair(gateway, "")
    ports = [first.port, gateway.upstream.port]
    waiting, may_connect = connecting_when_told(gateway, monkeypatch, *ports)
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


def test_a_hedge_takes_from_the_retry_budget(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pair(gateway, "stall=0", PoolRules(hedge_after_ms=60_000, retry_percent=0))
    timers = timers_of(gateway, monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway, chat("hi"))
        eventually(lambda: first.served)
        gateway.do(timers[0].expired)
        gateway.let_go_on(first)
        assert asked.result().status == 200
    assert (gateway.usage().upstream, gateway.of(AttemptEnded)) == ("first", [])
    assert (gateway.upstream.served, gateway.flow.shared.hedges) == ({}, 0)
    assert nobody_is_left(gateway)


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
