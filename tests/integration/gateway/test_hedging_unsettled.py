"""A hedged request that is not settled is one of the upstream that answered it, though the other one is still heard.

What the other one used is known in the end, from its own words or because it is asked.
"""

from collections.abc import Iterator

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.adapters.upstream_usage_http import HttpUpstreamUsage
from entrepot.core.catalog import Upstream
from entrepot.core.log_records import AttemptEnded, InstanceLost, LogRecord, UsageRecorded
from entrepot.core.periods import END_OF_TIME
from entrepot.core.upstream_rules import PoolRules, UpstreamRules
from entrepot.core.usage_event import UsageEvent
from entrepot.flows.resolve_usage import resolve_usage
from entrepot.ports.books import Books
from entrepot.workers import fold
from tests.scripted_upstream import ScriptedUpstream
from tests.support.billing import ListLog, applied, folded, prices, version, world
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import ask, chat, read_to_end, read_until, request_bytes
from tests.support.usage_rows import row

DRAIN = UpstreamRules(on_client_abort="drain")
CANCEL = UpstreamRules(on_client_abort="cancel")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def books_of(*records: LogRecord) -> Books:
    table = prices(("m", "input_tokens", "1"), ("m", "output_tokens", "1"))
    return folded(applied(world(version(table))), *records)


def answered_by_the_first(gateway: Gateway, script: str, mark: bytes, by_the_second: str = "") -> None:
    """Has the first upstream answer as the script says, while the second, which was asked as well, is heard out."""
    first = gateway.another_upstream(f"stall=0 {script}")
    gateway.upstream.script = f"stall=0 chunks=1 {by_the_second}"
    second = target(gateway.upstream.base_url, "second", rank=1, usage_lookup=True)
    targets = target(first.base_url, "first"), second
    gateway.serve(deployment("chat", *targets, routing=PoolRules(hedge_after_ms=20)), first=DRAIN, second=DRAIN)
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("two words", stream=True)))
        eventually(lambda: gateway.upstream.served)
        gateway.let_go_on(first)
        assert b"w2 " in (read_until(client, mark) if mark else read_to_end(client))


@row("gateway lost")
def test_one_whose_gateway_is_lost(gateway: Gateway) -> None:
    answered_by_the_first(gateway, "chunks=4", b"[DONE]")
    gateway.usage()
    unsettled = [record for record in gateway.sink.records if not isinstance(record, UsageRecorded)]
    admitted = gateway.admitted()
    [request] = books_of(*unsettled, InstanceLost(admitted.instance, admitted.at)).open_requests(given_up=True)
    assert request.upstream == "first"


@row("upstream failed midway")
def test_one_whose_upstream_breaks_off(gateway: Gateway) -> None:
    answered_by_the_first(gateway, "chunks=4 break=2", b"")
    assert gateway.abandoned().output_tokens == 2
    [request] = books_of(*gateway.sink.records).open_requests(given_up=True)
    assert request.upstream == "first"


@row("outrun")
def test_what_the_other_one_used_is_added_when_it_is_known(gateway: Gateway) -> None:
    answered_by_the_first(gateway, "chunks=4", b"[DONE]")
    usage = gateway.usage()
    gateway.let_go_on(gateway.upstream)
    eventually(lambda: any(ended.raw for ended in gateway.of(AttemptEnded)))
    begun, ended = books_of(*gateway.sink.records).attempts([usage.id])[-1:], gateway.of(AttemptEnded)
    assert [(record.number, record.upstream, record.outcome) for record in ended] == [(2, "second", "outrun")] * 2
    assert [attempt.ended for attempt in begun] == [ended[-1]]
    assert ended[-1].meters == {"input_tokens": 2, "output_tokens": 1}


@row("outrun")
def test_what_the_other_one_says_that_does_not_sum_up_is_asked_of_it(gateway: Gateway) -> None:
    answered_by_the_first(gateway, "chunks=4", b"[DONE]", "usage=bad")
    gateway.usage()
    gateway.let_go_on(gateway.upstream)
    eventually(lambda: [ended.status for ended in gateway.of(AttemptEnded)] == [0, 200])
    assert [(ended.meters, ended.raw) for ended in gateway.of(AttemptEnded)] == [({}, b"")] * 2
    second = Upstream("second", "openai", {"m": "m"}, gateway.upstream.base_url, usage_lookup=True)
    assert told((second,), *gateway.sink.records)[1] == {"second": {"input_tokens": 2, "output_tokens": 1}}


def two_that_can_be_asked(gateway: Gateway, routing: PoolRules) -> tuple[ScriptedUpstream, tuple[Upstream, ...]]:
    """The first upstream, which answers nothing, and both as a world declares them; the second is the gateway's own."""
    first = gateway.another_upstream("stall=0")
    targets = target(first.base_url, "first"), target(gateway.upstream.base_url, "second", rank=1)
    gateway.serve(deployment("chat", *targets, routing=routing), first=CANCEL, second=CANCEL)
    named = ("first", first), ("second", gateway.upstream)
    declared = [Upstream(name, "openai", {"m": "m"}, one.base_url, usage_lookup=True) for name, one in named]
    return first, tuple(declared)


def told(upstreams: tuple[Upstream, ...], *records: LogRecord) -> tuple[list[UsageEvent], dict[str, dict[str, int]]]:
    """The usage, and {upstream: what it is owed for beside that}, once upstreams have told all that they can tell."""
    log = ListLog([applied(world(version(prices()), upstreams=upstreams)), *records])
    books = open_books(":memory:")
    fold(books, log)
    while resolve_usage(books, log, HttpUpstreamUsage(lambda _: (), lambda _: ""), END_OF_TIME):
        fold(books, log)
    events = [record.event for record in log.records if isinstance(record, UsageRecorded)]
    ended = [made.ended for made in books.attempts([event.id for event in events]) if made.ended is not None]
    return events, {attempt.upstream: attempt.meters for attempt in ended}


@row("outrun")
def test_what_one_used_that_was_stopped_is_asked_of_it(gateway: Gateway) -> None:
    first, upstreams = two_that_can_be_asked(gateway, PoolRules(hedge_after_ms=20))
    assert ask(gateway, chat("two words")).status == 200
    gateway.usage()
    eventually(lambda: [served.state for served in first.served.values()] == ["cancelled"])
    assert told(upstreams, *gateway.sink.records)[1] == {"first": {"input_tokens": 2}}


@row("gateway lost")
def test_what_both_used_is_asked_where_the_gateway_is_lost_before_either_answers(gateway: Gateway) -> None:
    first, upstreams = two_that_can_be_asked(gateway, PoolRules(hedge_after_ms=20))
    gateway.upstream.script = "stall=0"
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("two words")))
        eventually(lambda: gateway.upstream.served)
        written = [*gateway.sink.records, InstanceLost(gateway.admitted().instance, gateway.admitted().at)]
    both = [*first.served.values(), *gateway.upstream.served.values()]
    eventually(lambda: [served.state for served in both] == ["cancelled"] * 2)
    [event], costs = told(upstreams, *written)
    assert (event.upstream, event.meters, event.outcome) == ("second", {"input_tokens": 2}, "gateway_lost")
    assert costs == {"first": {"input_tokens": 2}}


@row("tried elsewhere")
def test_what_one_used_that_broke_off_is_asked_of_it(gateway: Gateway) -> None:
    first, upstreams = two_that_can_be_asked(gateway, PoolRules())
    first.script = "break=0"
    assert ask(gateway, chat("two words")).status == 200
    gateway.usage()
    eventually(lambda: [served.state for served in first.served.values()] == ["cancelled"])
    assert told(upstreams, *gateway.sink.records)[1] == {"first": {"input_tokens": 2}}
