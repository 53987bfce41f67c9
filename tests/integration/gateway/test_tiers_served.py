"""The tier that an upstream says it served a request at, and what that makes of the bill."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from entrepot.adapters.clocks import SystemClock
from entrepot.core.budgets import Budget
from entrepot.core.catalog import Model
from entrepot.core.log_records import Admitted, ServedAt, UsageRecorded
from entrepot.core.periods import END_OF_TIME, SECOND, period_of
from entrepot.core.prices import Price
from entrepot.core.service_tiers import QUARTER, FlexRules, PriorityRules, ServiceTiers
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.tenancy import Customer
from tests.support.budgets import OUTPUT_PICO, Weighing
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.memory_log import ManualClock
from tests.support.requests import AZURE, Reply, ask, chat, connect, read_until, request_bytes
from tests.support.usage_rows import row

TIER, REASON = "x-entrepot-service-tier", "x-entrepot-service-tier-reason"
ALWAYS = ((0, END_OF_TIME),)
TIERS = ServiceTiers(PriorityRules(), FlexRules())

# What is billed, by what a request is admitted at and what its upstream says of it; "-" for nothing.
SAID = ("-", "default", "standard", "priority", "fast", "flex", "auto", "scale", "turbo")
BILLED = """
default  default  default  default  default  default  default  default  default  default
priority priority default  default  priority priority priority priority priority priority
flex     flex     flex     flex     flex     flex     flex     flex     flex     flex
"""
# What its upstream is owed for, where that is neither billed nor asked for.
OWED = {
    "default": ["-", "-", "-", "priority", "priority", "flex", "-", "-", "-"],
    "priority": ["-", "-", "-", "-", "-", "flex", "-", "-", "-"],
    "flex": ["-", "default", "default", "priority", "priority", "-", "-", "-", "-"],
}
ROWS = [line.split() for line in BILLED.strip().splitlines()]
PATHS = {"openai": "/v1/chat/completions", "azure": AZURE.format("chat"), "responses": "/v1/responses"}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway(published=False) as running:
        running.serve(tiered(running))
        yield running


def tiered(gateway: Gateway, **changes: Any) -> ServedDeployment:
    fields: dict[str, Any] = {"service_tiers": TIERS, "tiers": {"priority": ALWAYS, "flex": ALWAYS}}
    where = target(gateway.upstream.base_url)
    return deployment("chat", where, operations=("chat", "completions", "responses"), **fields | changes)


def say(gateway: Gateway, dialect: str, tier: str, said: str, **fields: Any) -> Reply:
    script = "[[chunks=5]]" if said == "-" else f"[[chunks=5 tier={said}]]"
    if dialect == "responses":
        asked = {"model": "chat", "input": f"one two {script}", "service_tier": tier, **fields}
        return ask(gateway, json.dumps(asked).encode(), path=PATHS[dialect])
    return ask(gateway, chat(f"one two {script}", service_tier=tier, **fields), path=PATHS[dialect])


def recorded(gateway: Gateway, number: int) -> None:
    """Returns once there are so many records."""
    eventually(lambda: len(gateway.of(UsageRecorded)) == number)


def told(reply: Reply) -> str:
    """The tier that the answer's own body says at its end, or "-"."""
    answers = [json.loads(one.rpartition("data: ")[2]) for one in reply.events() if one != "[DONE]"]
    said = [tier for answer in answers if (tier := answer.get("response", answer).get("service_tier"))]
    return said[-1] if said else "-"


@row("served at another tier")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("line", ROWS, ids=lambda line: line[0])
def test_the_tier_that_is_billed(gateway: Gateway, line: list[str], dialect: str, stream: bool) -> None:
    admitted, *expected = line
    for number, (said, billed, owed) in enumerate(zip(SAID, expected, OWED[admitted], strict=True), 1):
        reply = say(gateway, dialect, admitted, said, stream=stream)
        recorded(gateway, number)
        event = gateway.of(UsageRecorded)[-1].event
        assert (reply.status, event.tier, gateway.of(Admitted)[-1].tier) == (200, billed, admitted)
        assert (event.meters["output_tokens"], event.source) == (5, "reported")
        served = [ServedAt(event.id, event.admitted_at, owed)] if owed != "-" else []
        assert [record for record in gateway.of(ServedAt) if record.id == event.id] == served
        if said != "turbo":  # Nobody knows that, so it stays as it was written.
            assert told(reply) == ("-" if said == "-" else billed)
        downgraded = billed != admitted and not stream  # The head of a stream is gone by then.
        assert reply.headers[TIER] == (billed if downgraded else admitted)
        assert reply.headers.get(REASON) == ("upstream" if downgraded else None)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_a_client_writes_into_its_request_changes_no_bill(gateway: Gateway, stream: bool) -> None:
    """An answer of the Responses API repeats the request's metadata."""
    say(gateway, "responses", "priority", "priority", stream=stream, metadata={"service_tier": "default"})
    assert gateway.usage().tier == "priority"


def test_a_request_that_names_no_tier_is_told_what_the_upstream_says(gateway: Gateway) -> None:
    reply = ask(gateway, chat("hello [[tier=priority]]"))
    assert (told(reply), TIER in reply.headers, gateway.usage().tier) == ("priority", False, "default")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_budget_keeps_what_was_billed(stream: bool) -> None:
    """Of the price at priority, which is twice the other, all was held."""
    weighing = Weighing()
    clock = ManualClock(SystemClock().now())  # No month ends meanwhile.
    with running_gateway(published=False, counters=weighing.counters, clock=clock) as gateway:
        prices = [
            Price("m", meter, tier, 0 if meter == "input_tokens" else OUTPUT_PICO * times)
            for meter in ("input_tokens", "output_tokens")
            for tier, times in (("default", 1), ("priority", 2))
        ]
        model = Model("m", "1", "own", 10_000, "general", service_tiers=ServiceTiers(priority=PriorityRules()))
        weighing.serve(gateway, Customer("acme", "Acme", budget=Budget(10**9)), prices=prices, model=model)
        replies = [
            say(gateway, "openai", "priority", said, stream=stream, max_tokens=5) for said in ("default", "priority")
        ]
        assert [reply.status for reply in replies] == [200, 200]
        recorded(gateway, 2)
        assert [sum(units for _, units in record.counted) for record in gateway.of(UsageRecorded)] == [
            5 * OUTPUT_PICO,
            10 * OUTPUT_PICO,
        ]
        counter = f"customer/acme/monthly/money/{period_of(gateway.api.now(), 'UTC')}"
        assert weighing.weigh()[counter].spent == weighing.used(counter) == 15 * OUTPUT_PICO


@pytest.mark.parametrize(("said", "why"), [("default", "upstream"), ("priority", "priority_ramp")])
def test_what_was_not_served_at_priority_is_no_use_of_it(gateway: Gateway, said: str, why: str) -> None:
    """So it does not count in how fast use of priority grows: of 50 tokens in the first minute of a quarter hour."""
    noon = 1_700_000_000 * SECOND // QUARTER * QUARTER
    gateway.do(lambda: setattr(gateway.api, "now", lambda: noon))
    gateway.serve(tiered(gateway, service_tiers=ServiceTiers(PriorityRules(tokens_per_minute_free=50))))
    assert ask(gateway, chat(f"hello [[chunks=400 tier={said}]]", service_tier="priority")).status == 200
    gateway.do(lambda: setattr(gateway.api, "now", lambda: noon + SECOND))
    assert ask(gateway, chat("hello [[tier=default]]", service_tier="priority")).headers[REASON] == why


def test_who_leaves_in_the_middle_is_billed_at_what_was_said_until_then(gateway: Gateway) -> None:
    with connect(gateway) as connection:
        body = chat("hello [[chunks=5 stall=3 tier=default]]", stream=True, service_tier="priority")
        connection.sendall(request_bytes(body))
        read_until(connection, b"w2")
    abandoned = gateway.abandoned()
    assert (gateway.admitted().tier, abandoned.tier) == ("priority", "default")


def test_the_metrics_say_which_upstream_did_not_serve_priority(gateway: Gateway) -> None:
    """Whole and streamed; only requests that were admitted at it count."""
    asked = (("priority", "default"), ("priority", "standard"), ("priority", "priority"), ("default", "default"))
    for number, (tier, said) in enumerate(asked, 1):
        say(gateway, "openai", tier, said, stream=number == 2)
        recorded(gateway, number)
    text = ask(gateway, path="/metrics", headers={}).body.decode()
    assert '\nentrepot_service_tier_lowered_total{entrepot_upstream="up"} 2\n' in text
    assert '\nentrepot_service_tier_requests_total{chosen="priority",served="priority"} 3\n' in text
