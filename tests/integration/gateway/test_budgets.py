"""Budgets at a gateway: held before, settled after, never exceeded, and in the end what the books say."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from entrepot.core.budgets import Budget, TopUp
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import Admitted, InstanceLost, UsageRecorded
from entrepot.core.periods import format_instant, parse_instant, period_of
from entrepot.core.prices import Price, Step
from entrepot.core.tenancy import ApiKey, Customer, Project
from entrepot.core.usage_event import UsageEvent
from tests.support.billing import admitted, usage
from tests.support.budgets import INSTANCE, OUTPUT_PICO, Weighing
from tests.support.gateway import KEY, Gateway, eventually, running_gateway
from tests.support.memory_log import ManualClock
from tests.support.requests import Reply, ask, chat, connect, read_until, request_bytes

TOKENS = 5  # Of each answer.
EACH = TOKENS * OUTPUT_PICO
PARALLEL = 1_000
BODY = chat(f"hello [[chunks={TOKENS}]]", max_tokens=TOKENS)


@pytest.fixture
def weighing() -> Iterator[Weighing]:
    made = Weighing()
    clock = ManualClock(parse_instant("2026-05-15T12:00:00Z"))  # No month ends in the middle of a test.
    with running_gateway(published=False, counters=made.counters, clock=clock) as gateway:
        made.gateway = gateway
        yield made


def acme(budget: Budget | None = None, *top_ups: TopUp) -> Customer:
    return Customer("acme", "Acme", budget=budget, prepaid=top_ups)


def month(gateway: Gateway) -> str:
    return str(period_of(gateway.api.now(), "UTC"))


def serve(weighing: Weighing, units: int, **changes: Any) -> str:
    """Serves a customer with a monthly budget; its counter."""
    weighing.serve(weighing.gateway, acme(Budget(units)), **changes)
    return f"customer/acme/monthly/money/{month(weighing.gateway)}"


async def statuses(port: int, body: bytes, parallel: int) -> list[int]:
    """The statuses of as many requests, all sent before any answer is read."""
    request = request_bytes(body, "Connection: close")
    ways = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(parallel)))
    for _, writer in ways:
        writer.write(request)

    async def status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        answer = await reader.read()
        writer.close()
        return int(answer.split(b" ", 2)[1])

    return await asyncio.gather(*(status(*way) for way in ways))


@pytest.mark.parametrize("stream", [False, True])
def test_a_thousand_parallel_requests_do_not_overrun_a_budget_worth_a_hundred(weighing: Weighing, stream: bool) -> None:
    counter = serve(weighing, 100 * EACH)
    body = chat(f"hello [[chunks={TOKENS}]]", max_tokens=TOKENS, stream=stream)
    found = asyncio.run(statuses(weighing.gateway.port, body, PARALLEL))
    assert sorted(set(found)) == [200, 429]
    eventually(lambda: len(weighing.gateway.of(UsageRecorded)) == found.count(200))
    standing = weighing.weigh()[counter]
    assert standing.spent == found.count(200) * EACH
    assert 99 * EACH <= standing.spent <= 100 * EACH
    assert weighing.used(counter) == standing.spent


def test_two_hundred_parallel_requests_never_overdraw_a_prepaid_balance(weighing: Weighing) -> None:
    weighing.serve(weighing.gateway, acme(None, TopUp(0, 20 * EACH), TopUp(1, 17 * EACH)))
    found = asyncio.run(statuses(weighing.gateway.port, BODY, 200))
    eventually(lambda: len(weighing.gateway.of(UsageRecorded)) == found.count(200))
    standing = weighing.weigh()["customer/acme/prepaid/money"]
    assert standing.limit.units == 37 * EACH
    assert 36 * EACH <= standing.spent <= 37 * EACH
    assert found.count(200) * EACH == standing.spent


def test_a_refusal_says_which_budget_and_why(weighing: Weighing) -> None:
    counter = serve(weighing, 3 * EACH)
    assert [ask(weighing.gateway, BODY).status for _ in range(3)] == [200] * 3
    weighing.weigh()
    refused = ask(weighing.gateway, BODY)
    assert (refused.status, refused.error["type"], refused.error["code"]) == (
        429,
        "insufficient_quota",
        "insufficient_quota",
    )
    ends = format_instant(period_of(weighing.gateway.api.now(), "UTC").end("UTC"))
    message = refused.error["message"]
    assert message.startswith(
        "The monthly budget of customer acme does not suffice: of 0.000015 USD, 0.000015 USD are spent and "
        "0.00 USD held, and this request may use 0.000005 USD ("
    )
    assert " input_tokens at most 0.00 USD, 5 output_tokens at most 0.000005 USD)." in message
    assert message.endswith(f" There is more from {ends} on.")
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    told = refused.error["entrepot"] if "entrepot" in refused.error else refused.json()["entrepot"]
    parts = {key: told[key] for key in ("limit", "of", "units", "used", "spent", "held", "requested", "currency")}
    assert parts == {
        "limit": "the monthly budget",
        "of": "customer acme",
        "units": "0.000015",
        "used": "0.000015",
        "spent": "0.000015",
        "held": "0.00",
        "requested": "0.000005",
        "currency": "USD",
    }
    assert told["cost"][-1] == {"meter": "output_tokens", "quantity": 5, "at_most": "0.000005"}
    assert told["resets_at"] == ends
    assert weighing.used(counter) == 3 * EACH
    assert len(weighing.gateway.of(Admitted)) == 3


def test_what_is_held_may_be_free_again_soon(weighing: Weighing) -> None:
    serve(weighing, EACH)
    with connect(weighing.gateway) as client:
        client.sendall(request_bytes(chat("hi [[stall=1]]", max_tokens=TOKENS, stream=True)))
        read_until(client, b"data:")
        refused = ask(weighing.gateway, BODY)
        assert refused.status == 429
        assert refused.headers["retry-after"] == "1"
        assert "0.00 USD are spent and 0.000005 USD held" in refused.error["message"]


def test_every_budget_that_is_met_counts(weighing: Weighing) -> None:
    """Its key's, in tokens; its project's and its customer's: the smallest decides."""
    key = ApiKey("key-1", key_digest(KEY), "search", "", 0, budget=Budget(1000, "tokens", "total"))
    project = Project("search", "acme", budget=Budget(2 * EACH, kind="total"))
    customer = serve(weighing, 50 * EACH, project=project, key=key)
    replies: list[Reply] = [ask(weighing.gateway, BODY) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert "The total budget of project search" in replies[-1].error["message"]
    standings = weighing.weigh()
    tokens = sum(sum(record.event.meters.values()) for record in weighing.gateway.of(UsageRecorded))
    for counter, spent in {
        customer: 2 * EACH,
        "project/search/total/money": 2 * EACH,
        "key/key-1/total/tokens": tokens,
    }.items():
        assert standings[counter].spent == weighing.used(counter) == spent


def test_a_budget_of_a_key_goes_on_with_the_key_that_replaces_it(weighing: Weighing) -> None:
    """However often it is replaced: also what was used with the first one counts."""
    key = ApiKey("key-1", key_digest(KEY), "search", "", 0, budget=Budget(3 * EACH, kind="total"))
    serve(weighing, 50 * EACH, key=key)
    statuses = []
    for name in ("key-2", "key-3"):
        statuses.append(ask(weighing.gateway, BODY).status)
        weighing.rotate(name)
    statuses += [ask(weighing.gateway, BODY).status for _ in range(2)]
    assert statuses == [200, 200, 200, 429]
    standings = weighing.weigh()
    assert {name for name in standings if name.startswith("key/")} == {"key/key-1/total/money"}
    assert standings["key/key-1/total/money"].spent == 3 * EACH
    assert [record.key for record in weighing.gateway.of(Admitted)] == ["key-1", "key-2", "key-3"]


def test_nothing_is_granted_before_the_books_know_the_gateway(weighing: Weighing) -> None:
    serve(weighing, 10 * EACH)
    weighing.counters._weights.clear()
    refused = ask(weighing.gateway, BODY)
    assert (refused.status, refused.error["code"]) == (503, "counters_unavailable")
    weighing.weigh()
    assert ask(weighing.gateway, BODY).status == 200


def test_what_a_killed_gateway_held_is_held_until_it_is_resolved(weighing: Weighing) -> None:
    """Given history, a lost gateway's open request, and its settlement later: the counter follows the books exactly."""
    counter = f"customer/acme/monthly/money/{month(weighing.gateway)}"
    now = weighing.gateway.api.now()
    past = usage("past", now, meters={"output_tokens": 2 * TOKENS})
    lost = admitted("lost", now, "gone", holds=((counter, 4 * EACH),))
    weighing._before = [UsageRecorded(past), lost, InstanceLost("gone", now)]
    serve(weighing, 7 * EACH)
    assert weighing.used(counter) == 6 * EACH
    assert [ask(weighing.gateway, BODY).status for _ in range(2)] == [200, 429]
    resolved = usage("lost", now, meters={"output_tokens": TOKENS}, source="estimated", outcome="gateway_lost")
    weighing._before += [UsageRecorded(resolved, "gone", ((counter, 4 * EACH),))]
    assert weighing.weigh()[counter].spent == 4 * EACH == weighing.used(counter)


def test_an_import_counts_once_it_is_booked(weighing: Weighing) -> None:
    counter = serve(weighing, 3 * EACH)
    assert ask(weighing.gateway, BODY).status == 200
    event = usage("imported", weighing.gateway.api.now(), meters={"output_tokens": 2 * TOKENS})
    weighing.gateway.sink.append(UsageRecorded(event))
    weighing.weigh()
    assert ask(weighing.gateway, BODY).status == 429
    assert weighing.used(counter) == 3 * EACH


def test_a_cheaper_step_is_given_back_once_it_is_booked(weighing: Weighing) -> None:
    """At a price by quantity the dearest step is held and counted; the books know the right one."""
    steps = (Step(TOKENS, OUTPUT_PICO), Step(None, 0))
    rows = (
        Price("m", "input_tokens", "default", 0),
        Price("m", "output_tokens", "default", 0, mode="graduated", steps=steps),
    )
    counter = serve(weighing, 2 * EACH, prices=rows)
    assert [ask(weighing.gateway, BODY).status for _ in range(3)] == [200, 200, 429]
    assert weighing.weigh()[counter].spent == EACH == weighing.used(counter)
    assert ask(weighing.gateway, BODY).status == 200


@pytest.mark.parametrize("script", ["status=500", "break=2", "usage=bad", "chunks=2", "cached=1"])
def test_however_a_request_ends_the_counter_comes_to_what_the_books_say(weighing: Weighing, script: str) -> None:
    counter = serve(
        weighing,
        100 * EACH,
        prices=(Price("m", "input_tokens", "default", 3), Price("m", "output_tokens", "default", OUTPUT_PICO)),
    )
    for stream in (False, True):
        ask(weighing.gateway, chat(f"hello you [[{script}]]", max_tokens=9, stream=stream))
    eventually(lambda: not weighing.gateway.flow.desk._allotments._by_id[counter].held)
    standing = weighing.weigh()[counter]
    assert weighing.used(counter) == standing.spent + standing.held_units
    for item in weighing.gateway.of(Admitted):
        if standing.held_units:  # Someone asks what was served; the gateway does not hear of it.
            event = UsageEvent(item.id, item.at, item.at, "acme", "search", "chat", "m", "default", {"input_tokens": 2})
            weighing.gateway.sink.append(UsageRecorded(event, INSTANCE, item.holds))
    standing = weighing.weigh()[counter]
    assert standing.held_units == 0
    assert weighing.used(counter) == standing.spent
