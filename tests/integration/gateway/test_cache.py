"""Answers that are given again: what the client gets, what the log holds, and when the upstream is asked anyway."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import openai
import pytest

from entrepot.adapters.memory.answer_store import MemoryAnswerStore
from entrepot.adapters.valkey.answer_store import ValkeyAnswerStore
from entrepot.adapters.valkey.client import REPLY_S_MAX, ValkeyClient, parse_server
from entrepot.core.charges import Reading
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.tenancy import AnswerCaching, CacheStore
from entrepot.core.turns import at_once
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import WorldIndex
from entrepot.metering.record import Recorder
from entrepot.ports.answer_store import AnswerStore
from entrepot.rating.rate_usage import Rater
from tests.support.gateway import KEY, Gateway, deployment, eventually, running_gateway, snapshot, target
from tests.support.memory_log import ManualClock
from tests.support.recording_upstream import recording, whole
from tests.support.requests import ask, chat, read_until, request_bytes
from tests.support.usage_rows import row
from tests.support.valkey import ValkeyServer, running_valkey
from tests.support.worlds import small_world

ALWAYS = {"cached": ((0, END_OF_TIME),)}


def cached(gateway: Gateway, name: str = "chat", *, tiers: Any = ALWAYS, **rules: Any) -> ServedDeployment:
    """A deployment with a cache, of which everything has a price."""
    caching = AnswerCaching(**{"ttl_s": 60, "requests": "all", **rules})
    operations = ("embeddings",) if name == "embed" else ("chat", "completions")
    return deployment(
        name, target(gateway.upstream.base_url), cache=caching, tiers=tiers, operations=operations, revision="1"
    )


def memory(loop: asyncio.AbstractEventLoop) -> Mapping[CacheStore, AnswerStore]:
    return {"memory": MemoryAnswerStore(2**20)}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    clock = ManualClock(parse_instant("2026-05-15T12:00:00Z"))  # Nothing ages, however slow the machine is.
    with running_gateway(stores=memory, published=False, clock=clock) as running:
        running.serve(cached(running), cached(running, "embed"), deployment("plain", target(running.upstream.base_url)))
        yield running


def results(gateway: Gateway, *bodies: bytes, **given: Any) -> list[str | None]:
    """What the answers to these requests, asked one after the other, say of the cache."""
    return [ask(gateway, body, **given).headers.get("x-entrepot-cache") for body in bodies]


def usage(gateway: Gateway, count: int) -> list[UsageEvent]:
    eventually(lambda: len(gateway.of(UsageRecorded)) == count)
    return [record.event for record in gateway.of(UsageRecorded)]


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_answer_is_the_first_one_and_nobody_is_asked(gateway: Gateway, stream: bool) -> None:
    body = chat("two words [[chunks=5 cached=1]]", stream=stream)
    first, second = ask(gateway, body), ask(gateway, body)
    assert first.headers["x-entrepot-cache"] == "miss"
    assert second.headers["x-entrepot-cache"] == "hit"
    assert second.headers["age"] == "0"
    assert "age" not in first.headers
    assert (second.status, second.body, second.headers["content-type"]) == (
        first.status, first.body, first.headers["content-type"],
    )  # fmt: skip
    assert len(gateway.upstream.served) == 1


@row("from the cache")
@pytest.mark.parametrize("stream", [False, True])
def test_it_is_metered_as_the_first_one_was_at_the_cached_tier(gateway: Gateway, stream: bool) -> None:
    body = chat("two words [[chunks=5 cached=1]]", stream=stream)
    replies = [ask(gateway, body) for _ in range(3)]
    made, again, once_more = usage(gateway, 3)
    assert [event.id for event in (made, again, once_more)] == [item.headers["x-request-id"] for item in replies]
    assert made.meters == again.meters == once_more.meters == {
        "cached_input_tokens": 1, "input_tokens": 1, "output_tokens": 5,
    }  # fmt: skip
    assert (made.tier, again.tier) == ("default", "cached")
    assert (made.upstream, again.upstream) == ("up", "")
    assert (
        (again.source, again.outcome, again.raw)
        == (made.source, made.outcome, made.raw)
        == ("reported", "stop", made.raw)
    )
    assert [(item.id, item.tier) for item in gateway.of(Admitted)] == [
        (made.id, "default"), (again.id, "cached"), (once_more.id, "cached"),
    ]  # fmt: skip


def test_it_is_charged_at_a_price_of_its_own(gateway: Gateway) -> None:
    body = chat("two words [[chunks=5]]")
    for _ in range(2):
        ask(gateway, body)
    first = "          - {model: smollm2-135m, meter: input_tokens"
    cached_prices = "".join(
        f'          - {{model: gpt-4, meter: {meter}, tier: cached, per_million: "{price}"}}\n'
        for meter, price in (("input_tokens", 3), ("output_tokens", 6))
    )
    index = WorldIndex(small_world(**{first: cached_prices + first, "gpt-4": "model-of-chat"}))
    metered, refused = Recorder(index).record(usage(gateway, 2))
    assert refused == []
    charges = [
        sum(
            Rater(index).rate(Reading(item.series, meter, item.hour, quantity)).amount_pico
            for meter, quantity in item.event.meters.items()
        )
        for item in metered
    ]
    assert charges == [2 * 30_000_000 + 5 * 60_000_000, 2 * 3_000_000 + 5 * 6_000_000]


def test_nothing_of_it_leaves_before_its_usage_is_durable(gateway: Gateway) -> None:
    body = chat("hi")
    ask(gateway, body)
    gateway.sink.hold = True
    with gateway.connect() as client:
        client.sendall(request_bytes(body))
        usage(gateway, 2)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(60)
        gateway.do(gateway.sink.release)
        assert b"x-entrepot-cache: hit" in read_until(client, b"w1 w2 w3")


@pytest.mark.parametrize("stream", [False, True])
def test_where_the_log_fails_it_is_not_given(gateway: Gateway, stream: bool) -> None:
    body = chat("hi", stream=stream)
    ask(gateway, body)
    gateway.sink.failing = True
    assert ask(gateway, body).error["code"] == "usage_log_unavailable"
    assert gateway.flow.usage.owed == 1
    gateway.do(gateway.sink.recover)
    assert [event.tier for event in usage(gateway, 2)] == ["default", "cached"]


def test_a_client_that_leaves_was_given_it(gateway: Gateway) -> None:
    body = chat("hi")
    ask(gateway, body)
    gateway.sink.hold = True
    with gateway.connect() as client:
        client.sendall(request_bytes(body))
        usage(gateway, 2)
    eventually(lambda: not gateway.api.connections)
    gateway.do(gateway.sink.release)
    assert [event.tier for event in usage(gateway, 2)] == ["default", "cached"]


def test_a_stream_and_a_whole_answer_are_not_the_same(gateway: Gateway) -> None:
    assert results(gateway, chat("hi"), chat("hi", stream=True), chat("hi"), chat("hi", stream=True)) == [
        "miss", "miss", "hit", "hit",
    ]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_given_again_as_it_came_whatever_was_asked_for(gateway: Gateway, stream: bool) -> None:
    event = b'data: {"choices":[{"delta":{"content":"w"},"finish_reason":"stop"}],"usage":%b}\n\ndata: [DONE]\n\n'
    events = event % b'{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}'
    answer = whole() if stream else whole(events).replace(b"application/json", b"text/event-stream")
    with recording(gateway, answer) as upstream:
        gateway.serve(msgspec.structs.replace(cached(gateway), targets=(target(upstream.base_url),)))
        first, second = (ask(gateway, chat("hi", stream=stream)) for _ in range(2))
    assert [reply.headers["x-entrepot-cache"] for reply in (first, second)] == ["miss", "hit"]
    assert (second.body, second.headers["content-type"]) == (first.body, first.headers["content-type"])


def test_who_asks_does_not_decide(gateway: Gateway) -> None:
    assert results(gateway, chat("hi", user="a"), chat("hi", user="b"), chat("ho")) == ["miss", "hit", "miss"]


def test_embeddings_are_kept(gateway: Gateway) -> None:
    body = json.dumps({"model": "embed", "input": ["a", "b c"]}).encode()
    first, second = (ask(gateway, body, path="/v1/embeddings") for _ in range(2))
    assert second.headers["x-entrepot-cache"] == "hit"
    assert second.body == first.body
    assert [event.meters for event in usage(gateway, 2)] == [{"input_tokens": 3}, {"input_tokens": 3}]


def test_azure_clients_share_it_with_openai_clients_of_the_project(gateway: Gateway) -> None:
    ask(gateway, chat("hi"))
    reply = ask(gateway, chat("hi"), path="/openai/deployments/chat/chat/completions?api-version=2024-10-21")
    assert (reply.headers["x-entrepot-cache"], reply.headers["x-ms-deployment-name"]) == ("hit", "chat")


@pytest.mark.parametrize(
    "script",
    ["status=429", "finish=content_filter", "tool=1", "usage=no", "usage=bad", "junk=1", "pad=400000"],
)
def test_what_is_not_to_be_given_again_is_not_kept(gateway: Gateway, script: str) -> None:
    assert results(gateway, *[chat(f"hi [[{script}]]")] * 2) == ["miss", "miss"]
    assert len(gateway.upstream.served) == 2


@pytest.mark.parametrize("script", ["break=2", "end=early break=1", "finish=content_filter", "usage=no"])
def test_nor_is_a_stream_that_did_not_end_well(gateway: Gateway, script: str) -> None:
    body = chat(f"hi [[{script}]]", stream=True)
    assert results(gateway, body, body) == ["miss", "miss"]


def test_nor_one_whose_client_left(gateway: Gateway) -> None:
    body = chat("hi [[chunks=5 stall=2]]", stream=True)
    with gateway.connect() as client:
        client.sendall(request_bytes(body))
        read_until(client, b"w2")
    eventually(lambda: not gateway.flow.shared.streams)
    assert gateway.flow.repeats.results == {"hit": 0, "miss": 1, "bypass": 0}
    store = gateway.flow.repeats.stores["memory"]
    assert store.counters.entries == 0


def test_what_a_client_says_of_the_cache_is_heard(gateway: Gateway) -> None:
    def said(directive: str) -> str:
        headers = {"Authorization": f"Bearer {KEY}", "Cache-Control": directive}
        return ask(gateway, chat("hi"), headers=headers).headers["x-entrepot-cache"]

    assert [said(word) for word in ("no-store", "no-cache", "max-age=60", "no-cache", "no-store", "")] == [
        "bypass", "bypass", "hit", "bypass", "bypass", "hit",
    ]  # fmt: skip
    assert len(gateway.upstream.served) == 4


def test_a_deployment_without_a_cache_says_nothing_of_one(gateway: Gateway) -> None:
    assert results(gateway, *[chat("hi", model="plain", temperature=0)] * 2) == [None, None]
    assert len(gateway.upstream.served) == 2


def test_only_repeatable_requests_where_that_is_asked(gateway: Gateway) -> None:
    gateway.serve(cached(gateway, requests="repeatable"))
    bodies = [chat("hi"), chat("hi"), chat("hi", temperature=0), chat("hi", temperature=0), chat("hi", seed=1)]
    assert results(gateway, *bodies) == [None, None, "miss", "hit", "miss"]


def test_without_a_price_now_nothing_is_cached(gateway: Gateway) -> None:
    gateway.serve(cached(gateway, tiers={"cached": ((0, 1_000),)}))
    assert results(gateway, chat("hi"), chat("hi")) == [None, None]


def test_an_answer_ends_with_its_time_and_with_the_models_version(gateway: Gateway) -> None:
    assert results(gateway, chat("hi"), chat("hi")) == ["miss", "hit"]
    item = cached(gateway)
    gateway.serve(deployment("chat", *item.targets, cache=item.cache, tiers=ALWAYS, revision="2"))
    assert results(gateway, chat("hi")) == ["miss"]
    gateway.serve(cached(gateway, ttl_s=0))
    assert results(gateway, chat("hi")) == ["miss"]


def test_an_answer_too_long_to_keep_goes_by(gateway: Gateway) -> None:
    gateway.serve(cached(gateway, bytes_max=300))
    for stream in (False, True):
        body = chat("hi [[chunks=50]]", stream=stream)
        first, second = ask(gateway, body), ask(gateway, body)
        assert second.headers["x-entrepot-cache"] == "miss"
        assert first.body.count(b"w50") == 1


def test_a_client_library_gets_the_same(gateway: Gateway) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        asked: Any = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        said = []
        for _ in range(2):
            with client.chat.completions.create(**asked, stream_options={"include_usage": True}) as events:
                said.append([event.model_dump_json() for event in events])
        assert said[0] == said[1]
        assert "prompt_tokens" in said[0][-1]


# ---- with Valkey


class WithValkey:
    """A gateway whose answers are in Valkey."""

    def __init__(self, gateway: Gateway, client: ValkeyClient, server: ValkeyServer) -> None:
        self.gateway = gateway
        self.client = client
        self.server = server

    def connected(self) -> None:
        def look() -> bool:
            self.gateway.do(self.client.tick)
            return self.client.is_connected

        eventually(look)


@contextlib.contextmanager
def gateway_on(server: ValkeyServer, reply_s_max: float = REPLY_S_MAX) -> Iterator[WithValkey]:
    clients: list[ValkeyClient] = []

    def stores(loop: asyncio.AbstractEventLoop) -> Mapping[CacheStore, AnswerStore]:
        clients.append(ValkeyClient(loop, parse_server(server.url), reply_s_max))
        return {"valkey": ValkeyAnswerStore(clients[0])}

    with running_gateway(stores=stores, published=False) as gateway:
        gateway.serve(cached(gateway, store="valkey"))
        made = WithValkey(gateway, clients[0], server)
        made.connected()
        yield made
        gateway.do(clients[0].close)


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with running_valkey() as running:
        yield running


def test_gateways_share_it(server: ValkeyServer) -> None:
    with gateway_on(server, reply_s_max=10) as one, gateway_on(server, reply_s_max=10) as other:
        for stream in (False, True):
            body = chat("hi", stream=stream)
            first, second = ask(one.gateway, body), ask(other.gateway, body)
            assert second.headers["x-entrepot-cache"] == "hit"
            assert second.body == first.body
        assert other.gateway.upstream.served == {}
        assert [event.tier for event in usage(other.gateway, 2)] == ["cached", "cached"]


def test_a_server_that_says_nothing_is_a_miss_and_one_that_is_back_is_used(server: ValkeyServer) -> None:
    with gateway_on(server, reply_s_max=1) as with_valkey:  # That long it stands still here.
        gateway = with_valkey.gateway
        assert results(gateway, chat("hi"), chat("hi")) == ["miss", "hit"]
        with server.standing_still():
            assert results(gateway, chat("hi"), chat("hi")) == ["miss", "miss"]
        with_valkey.connected()
        assert results(gateway, chat("hi")) == ["hit"]
        server.stop()
        assert results(gateway, chat("hi")) == ["miss"]


def test_a_client_that_leaves_while_the_server_is_asked_asked_for_nothing(server: ValkeyServer) -> None:
    with gateway_on(server, reply_s_max=10) as with_valkey:
        gateway = with_valkey.gateway
        with server.standing_still():
            with gateway.connect() as client:
                client.sendall(request_bytes(chat("hi")))
                eventually(lambda: any(not connection.is_idle for connection in list(gateway.api.connections)))
            eventually(lambda: not gateway.api.connections)
        assert results(gateway, chat("ho")) == ["miss"]
        assert len(gateway.upstream.served) == 1


def test_a_store_that_is_not_there_is_named_and_nothing_is_cached() -> None:
    with running_gateway(stores=memory, published=False) as gateway:
        faults: list[str] = []

        def adopt() -> None:
            faults.extend(at_once(gateway.flow.adopting(snapshot(cached(gateway, store="valkey")))))

        gateway.do(adopt)
        [fault] = faults
        assert "deployment chat keeps its answers in valkey" in fault
        assert "ENTREPOT_VALKEY_URL" in fault
        assert results(gateway, chat("hi"), chat("hi")) == [None, None]
