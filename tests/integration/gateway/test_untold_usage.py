"""Answers without usage from an upstream that keeps an account: recorded as to be asked for, then as that has it.

Each is a row of docs/operations/usage-rules.md. What follows after the gateway is the product's own: its fold, and the
question over HTTP that the worker asks.
"""

from collections.abc import Iterator

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.adapters.upstream_usage_http import HttpUpstreamUsage
from entrepot.core.budgets import Budget
from entrepot.core.catalog import Upstream
from entrepot.core.log_records import UsageRecorded, UsageUntold
from entrepot.core.prices import Price
from entrepot.core.tenancy import Customer
from entrepot.core.upstream_rules import UpstreamRules
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from entrepot.flows.resolve_usage import GRACE_US, PATIENCE_US, resolve_usage
from entrepot.workers import fold
from tests.support.billing import applied, prices, version, world
from tests.support.budgets import OUTPUT_PICO, Weighing
from tests.support.gateway import UPSTREAM_KEY, Gateway, deployment, eventually, running_gateway, target
from tests.support.memory_log import MemoryLog
from tests.support.requests import ask, chat, read_until, request_bytes
from tests.support.usage_rows import row

METERS = ("input_tokens", "output_tokens", "web_search_calls")
OPERATIONS = ("chat", "completions", "responses", "embeddings", "images")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        up = target(running.upstream.base_url, usage_lookup=True)
        running.serve(deployment("chat", up, operations=OPERATIONS))
        yield running


def untold(gateway: Gateway) -> UsageUntold:
    """The one request that was answered without usage; none has any yet."""
    eventually(lambda: gateway.of(UsageUntold))
    [found] = gateway.of(UsageUntold)
    assert gateway.of(UsageRecorded) == []
    return found


def world_of(gateway: Gateway) -> World:
    base_url = gateway.upstream.base_url
    upstream = Upstream("up", "openai", {"m": "m"}, base_url, usage_lookup=True)
    return world(version(prices(*(("m", meter, "1") for meter in METERS))), upstreams=(upstream,))


def resolved(gateway: Gateway, declared: World, after_us: int = GRACE_US) -> list[UsageRecorded]:
    """What is recorded of what the gateway's log has open, its upstream having been asked over HTTP; it is booked."""
    log, books = MemoryLog(), open_books(":memory:")
    log.append([applied(declared), *gateway.sink.records])
    fold(books, log)
    assert books.oldest_open() is not None
    before = len(log.records)
    lookup = HttpUpstreamUsage(lambda _: (), lambda _: UPSTREAM_KEY, timeout_s=60)
    resolve_usage(books, log, lookup, gateway.api.now() + after_us)
    fold(books, log)
    assert books.oldest_open() is None
    return [record for record in log.records[before:] if isinstance(record, UsageRecorded)]


def event_of(gateway: Gateway, after_us: int = GRACE_US) -> UsageEvent:
    [record] = resolved(gateway, world_of(gateway), after_us)
    return record.event


def account(gateway: Gateway) -> dict[str, int]:
    """The meters of the one request that the upstream served, by its own account."""
    [served] = gateway.upstream.served.values()
    return {"input_tokens": served.prompt_tokens, "output_tokens": served.completion_tokens}


@row("usage told afterwards")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("usage", ["no", "bad"])
def test_an_answer_without_usage_is_booked_as_the_account_has_it(gateway: Gateway, usage: str, stream: bool) -> None:
    reply = ask(gateway, chat(f"one two three [[chunks=4 usage={usage}]]", stream=stream))
    assert reply.status == 200
    found = untold(gateway)
    assert found.event.source == ("counted" if usage == "no" else "reported")
    assert bool(found.event.meters) == bool(not found.event.raw) == (usage == "no")
    event = event_of(gateway)
    assert (event.source, event.outcome, event.meters) == ("reported", "stop", account(gateway))
    assert event.id == found.id == next(iter(gateway.upstream.served))
    assert event.finished_at == found.event.finished_at


@row("usage told afterwards")
def test_a_stream_ends_for_its_client_when_the_record_is_durable(gateway: Gateway) -> None:
    gateway.sink.hold = True
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=3 usage=no]]", stream=True)))
        read_until(client, b"w3 ")
        untold(gateway)
        gateway.do(gateway.sink.release)
        assert b"[DONE]" in read_until(client, b"[DONE]")


@row("usage told afterwards")
def test_a_stream_that_is_heard_out_for_a_client_that_left_is_asked_about_too(gateway: Gateway) -> None:
    up = target(gateway.upstream.base_url, usage_lookup=True)
    gateway.serve(deployment("chat", up), up=UpstreamRules(on_client_abort="drain"))
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=9 delay=0.02 usage=no]]", stream=True)))
        read_until(client, b"w1 ")
    assert untold(gateway).event.outcome == "client_left"
    event = event_of(gateway)
    assert (event.source, event.outcome, event.meters) == ("reported", "client_left", account(gateway))


@row("usage told afterwards")
def test_an_account_that_says_nothing_leaves_it_at_what_was_counted(gateway: Gateway) -> None:
    ask(gateway, chat("hi [[chunks=4 usage=no]]", stream=True))
    found = untold(gateway)
    gateway.upstream.served.clear()  # It forgot.
    assert event_of(gateway) == found.event
    gateway.run(gateway.upstream.stop())
    assert event_of(gateway, PATIENCE_US) == found.event


@row("log failed on a stream")
def test_a_log_that_fails_takes_it_later(gateway: Gateway) -> None:
    gateway.sink.failing = True
    reply = ask(gateway, chat("hi [[chunks=4 usage=no]]", stream=True))
    assert reply.events()[-1] != "[DONE]"
    gateway.sink.recover()
    event = event_of(gateway)
    assert event.meters == account(gateway)


def test_tokens_of_a_response_are_asked_for_and_its_searches_kept(gateway: Gateway) -> None:
    ask(gateway, b'{"model":"chat","input":"hi [[usage=no calls=2]]"}', path="/v1/responses")
    found = untold(gateway)
    event = event_of(gateway)
    assert event.meters == account(gateway) | dict(found.also)
    assert dict(found.also) == {"web_search_calls": 2}


def test_what_is_counted_otherwise_than_in_tokens_is_not_asked_for(gateway: Gateway) -> None:
    ask(gateway, b'{"model":"chat","prompt":"a cat [[usage=no]]","n":2}', path="/v1/images/generations")
    assert gateway.usage().meters == {"images": 2}
    assert gateway.of(UsageUntold) == []


def test_a_refusal_is_not_asked_about(gateway: Gateway) -> None:
    assert ask(gateway, chat("hi [[status=400]]")).status == 400
    assert gateway.usage().meters == {}
    assert gateway.of(UsageUntold) == []


@pytest.mark.parametrize("usage", ["no", "bad"])
def test_a_budget_has_it_once_before_and_after_the_account_is_known(usage: str) -> None:
    """As its gateway counted it, or as it was held; then as the account says: spent, and nowhere else."""
    made = Weighing()
    rows = (Price("m", "input_tokens", "default", 3), Price("m", "output_tokens", "default", OUTPUT_PICO))
    with running_gateway(published=False, counters=made.counters) as gateway:
        customer = Customer("acme", "Acme", budget=Budget(1000 * OUTPUT_PICO, kind="total"))
        made.serve(gateway, customer, prices=rows, usage_lookup=True)
        counter = "customer/acme/total/money"
        ask(gateway, chat(f"hello you [[chunks=5 usage={usage}]]", max_tokens=9, stream=True))
        found = untold(gateway)
        held = dict(found.counted)[counter]
        tokens = found.event.meters or {"output_tokens": 9}
        assert held == 3 * tokens.get("input_tokens", 0) + tokens["output_tokens"] * OUTPUT_PICO or usage == "bad"
        standing = made.weigh()[counter]
        assert (standing.spent, standing.held_units) == (0, held)
        assert made.used(counter) == held
        gateway.sink.records += resolved(gateway, made.world)
        standing = made.weigh()[counter]
        exact = 3 * account(gateway)["input_tokens"] + 5 * OUTPUT_PICO
        assert (standing.spent, standing.held_units) == (exact, 0)
        assert exact != held
        assert made.used(counter) == exact
