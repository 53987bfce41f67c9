"""Clients that leave: what each upstream's rule makes of it, against the upstream's own count."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.adapters.upstream_usage_http import HttpUpstreamUsage
from entrepot.core.catalog import Upstream
from entrepot.core.log_records import Abandoned, AttemptEnded, UsageRecorded
from entrepot.core.upstream_rules import AbortRule, Timeouts, UpstreamRules
from entrepot.core.usage_event import UsageEvent
from entrepot.flows.resolve_usage import GRACE_US, resolve_usage
from entrepot.workers import fold
from tests.support.billing import applied, prices, version, world
from tests.support.gateway import UPSTREAM_KEY, Gateway, deployment, eventually, running_gateway, target
from tests.support.memory_log import MemoryLog
from tests.support.requests import ask, chat, read_until, request_bytes
from tests.support.usage_rows import row

STREAMS = 1000
AT_A_TIME = 100
CHUNKS = 12
CUT_MIN = STREAMS // 10  # Nearly all on a quiet machine; on a busy one many are over before they are known to be left.


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def serve(gateway: Gateway, rule: AbortRule, *, usage_lookup: bool = False, total_ms: int = 60_000) -> None:
    served = deployment("chat", target(gateway.upstream.base_url, usage_lookup=usage_lookup))
    gateway.serve(served, up=UpstreamRules(on_client_abort=rule, timeouts=Timeouts(total_ms=total_ms)))


async def cut_streams(port: int, seed: int) -> None:
    """Streams that their clients leave after some number of tokens, from none to all, AT_A_TIME at a time."""
    chance = random.Random(seed)
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(after: int) -> None:
        async with turns:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_bytes(chat(f"one two [[chunks={CHUNKS} delay=0.002]]", stream=True)))
            await reader.readuntil(f"w{after} ".encode() if after else b"HTTP/1.1 200")
            writer.transport.abort()

    await asyncio.gather(*(one(chance.randint(0, CHUNKS)) for _ in range(STREAMS)))


def equal_to_the_upstreams_count(gateway: Gateway, events: list[UsageEvent]) -> int:
    """How many of the upstream's requests are metered as it counted them."""
    metered = {event.id: event.meters for event in events}
    assert len(metered) == len(events)
    return sum(
        metered.get(served.id) == {"input_tokens": served.prompt_tokens, "output_tokens": served.completion_tokens}
        for served in gateway.upstream.served.values()
    )


@row("client left and drained")
def test_a_thousand_streams_cut_at_random_are_metered_as_the_upstream_counts_when_drained(gateway: Gateway) -> None:
    serve(gateway, "drain")
    asyncio.run(cut_streams(gateway.port, seed=1))
    eventually(lambda: len(gateway.of(UsageRecorded)) == STREAMS)
    eventually(lambda: {served.state for served in gateway.upstream.served.values()} == {"finished"})
    events = [record.event for record in gateway.of(UsageRecorded)]
    assert equal_to_the_upstreams_count(gateway, events) == STREAMS
    assert {event.source for event in events} == {"reported"}
    assert sum(event.outcome == "client_left" for event in events) > CUT_MIN
    assert gateway.of(Abandoned) == []
    assert gateway.flow.shared.left == set()
    assert gateway.upstream.connections <= AT_A_TIME * 3  # A drained connection serves again.


def test_a_thousand_streams_cut_at_random_are_metered_as_the_upstream_counts_when_it_can_be_asked(
    gateway: Gateway,
) -> None:
    serve(gateway, "cancel", usage_lookup=True)
    asyncio.run(cut_streams(gateway.port, seed=2))
    eventually(lambda: len(gateway.of(UsageRecorded)) + len(gateway.of(Abandoned)) == STREAMS)
    eventually(lambda: all(served.state != "running" for served in gateway.upstream.served.values()))
    assert len(gateway.of(Abandoned)) > CUT_MIN
    log = MemoryLog()
    books = open_books(":memory:")
    upstream = Upstream(
        id="up", kind="openai", models={"m": "m"}, base_url=gateway.upstream.base_url, usage_lookup=True
    )
    table = prices(("m", "input_tokens", "1"), ("m", "output_tokens", "1"))
    log.append([applied(world(version(table), upstreams=(upstream,))), *gateway.sink.records])
    fold(books, log)
    lookup = HttpUpstreamUsage(lambda _: (), lambda _: UPSTREAM_KEY, timeout_s=60)
    resolve_usage(books, log, lookup, gateway.api.now() + GRACE_US)
    events = [record.event for record in log.records if isinstance(record, UsageRecorded)]
    assert equal_to_the_upstreams_count(gateway, events) == STREAMS
    assert sum(served.state == "cancelled" for served in gateway.upstream.served.values()) > CUT_MIN


def leave(gateway: Gateway, prompt: str, mark: bytes) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(chat(prompt, stream=True)))
        if mark:
            read_until(client, mark)
        else:
            eventually(lambda: gateway.upstream.served)
    eventually(lambda: not gateway.api.connections)


def test_a_drained_answer_that_is_no_stream_is_settled_too(gateway: Gateway) -> None:
    serve(gateway, "drain")
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[stall=0 chunks=7]]")))
        eventually(lambda: gateway.upstream.served)
    eventually(lambda: gateway.flow.shared.left)
    gateway.let_go_on(gateway.upstream)
    usage = gateway.usage()
    assert (usage.outcome, usage.meters) == ("client_left", {"input_tokens": 1, "output_tokens": 7})


@row("drained in vain")
def test_a_drained_stream_is_given_up_when_its_total_time_is_over(gateway: Gateway) -> None:
    serve(gateway, "drain", total_ms=60_000)
    leave(gateway, "hi [[chunks=5 stall=2]]", b"w2 ")
    assert len(gateway.flow.shared.left) == 1
    gateway.later(61)
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("client_left", True, 2)
    assert gateway.flow.shared.left == set()


@row("drained in vain")
def test_a_drained_stream_whose_upstream_breaks_is_resolved_later(gateway: Gateway) -> None:
    serve(gateway, "drain")
    leave(gateway, "hi [[chunks=5 stall=1 break=4]]", b"w1 ")
    gateway.let_go_on(gateway.upstream)
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.output_tokens) == ("client_left", 4)


@row("drained in vain")
def test_a_drained_stream_is_cut_when_the_gateway_stops(gateway: Gateway) -> None:
    serve(gateway, "drain")
    leave(gateway, "hi [[chunks=5 stall=3]]", b"w3 ")
    gateway.do(gateway.flow.cut)
    assert gateway.abandoned().output_tokens == 3
    assert gateway.flow.shared.left == set()


def test_a_client_that_leaves_a_drained_stream_is_told_to_the_report_once(gateway: Gateway) -> None:
    serve(gateway, "drain")
    leave(gateway, "hi [[chunks=5 stall=1]]", b"w1 ")
    gateway.let_go_on(gateway.upstream)
    gateway.usage()
    assert ask(gateway, path="/metrics").status == 200


@row("client left unbilled")
@pytest.mark.parametrize("mark", [b"", b"w2 "])
def test_no_bill_is_recorded_with_nothing_and_our_cost_beside_it(gateway: Gateway, mark: bytes) -> None:
    serve(gateway, "no_bill")
    leave(gateway, f"hi [[chunks=5 stall={2 if mark else 0}]]", mark)
    usage = gateway.usage()
    assert (usage.outcome, usage.meters, usage.raw, usage.source) == ("client_left", {}, b"", "reported")
    [ended] = gateway.of(AttemptEnded)
    assert (ended.id, ended.number, ended.upstream, ended.outcome) == (usage.id, 1, "up", "client_left")
    assert ended.output_tokens == (2 if mark else 0)
    eventually(lambda: [served.state for served in gateway.upstream.served.values()] == ["cancelled"])


def test_no_bill_is_for_what_was_cut_and_not_for_what_was_served(gateway: Gateway) -> None:
    serve(gateway, "no_bill")
    leave(gateway, "hi [[pause=usage]]", b'"finish_reason":"stop"')
    assert gateway.usage().meters == {"input_tokens": 1, "output_tokens": 3}
    assert gateway.of(AttemptEnded) == []
