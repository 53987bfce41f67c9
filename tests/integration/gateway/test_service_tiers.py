"""Tiers of service: which one a request is served and billed at, how it is told, and when it is refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from entrepot.adapters.memory.answer_store import MemoryAnswerStore
from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.periods import END_OF_TIME, MINUTE, SECOND
from entrepot.core.service_tiers import QUARTER, FlexRules, PriorityRules, ServiceTiers
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.tenancy import AnswerCaching, Queueing
from entrepot.core.upstream_rules import UpstreamRules
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import AZURE, Reply, ask, chat, connect, read_until, request_bytes

TIER, REASON = "x-entrepot-service-tier", "x-entrepot-service-tier-reason"
ALWAYS = ((0, END_OF_TIME),)
PRICED = {"priority": ALWAYS, "flex": ALWAYS}
BOTH = ServiceTiers(PriorityRules(), FlexRules())
OFFERS: dict[str, dict[str, Any]] = {
    "none": {"service_tiers": None, "tiers": PRICED},
    "both": {"service_tiers": BOTH, "tiers": PRICED},
    "priority": {"service_tiers": ServiceTiers(priority=PriorityRules()), "tiers": PRICED},
    "flex": {"service_tiers": ServiceTiers(flex=FlexRules()), "tiers": PRICED},
    "unpriced": {"service_tiers": BOTH, "tiers": {"flex": ALWAYS}},
}

# What a request is served at, by what is offered, the deployment's tier, and the request's; "-": and nothing is told.
ASKED = ("", None, "auto", "default", "priority", "fast", "flex", "scale")
MATRIX = """
none     default   -         default   default   default   400       400       400       400
both     default   -         default   default   default   priority  priority  flex      400
both     priority  priority  priority  priority  default   priority  priority  flex      400
both     flex      flex      flex      flex      default   priority  priority  flex      400
priority default   -         default   default   default   priority  priority  400       400
priority priority  priority  priority  priority  default   priority  priority  400       400
flex     default   -         default   default   default   400       400       flex      400
flex     flex      flex      flex      flex      default   400       400       flex      400
unpriced default   -         default   default   default   400       400       flex      400
unpriced priority  400       400       400       default   400       400       flex      400
"""
ROWS = [line.split() for line in MATRIX.strip().splitlines()]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway(published=False) as running:
        yield running


def tiered(gateway: Gateway, name: str = "chat", **changes: Any) -> ServedDeployment:
    return deployment(name, target(gateway.upstream.base_url), **OFFERS["both"] | changes)


def say(gateway: Gateway, tier: str | None = "", prompt: str = "hello [[tier=scale]]", **fields: Any) -> Reply:
    """tier: "" to name none."""
    named: dict[str, Any] = {} if tier == "" else {"service_tier": tier}
    return ask(gateway, chat(prompt, **named | fields))


def used(gateway: Gateway) -> list[str]:
    """The tiers of what was recorded so far, in order."""
    return [record.event.tier for record in gateway.of(UsageRecorded)]


def recorded(gateway: Gateway, number: int) -> None:
    """Returns once there are so many records."""
    eventually(lambda: len(used(gateway)) == number)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_tier_a_request_is_served_at(gateway: Gateway, row: list[str], stream: bool) -> None:
    offer, default, *expected = row
    gateway.serve(tiered(gateway, service_tier="" if default == "default" else default, **OFFERS[offer]))
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    for asked, tier in zip(ASKED, expected, strict=True):
        before = len(used(gateway))
        reply = say(gateway, asked, **options)
        if tier == "400":
            refused = asked if asked not in {"", None, "auto"} else default
            refused = "priority" if refused == "fast" else refused
            assert (reply.status, reply.error["type"], reply.error["param"]) == (
                400,
                "invalid_request_error",
                "service_tier",
            )
            assert f"does not have the service tier {refused!r} now; it has: auto, default" in reply.error["message"]
            assert len(used(gateway)) == before
            continue
        billed = "default" if tier == "-" else tier
        assert reply.status == 200
        assert reply.headers.get("x-entrepot-service-tier") == (None if tier == "-" else tier)
        assert "x-entrepot-service-tier-reason" not in reply.headers
        said = f'"service_tier":"{"scale" if tier == "-" else billed}"'.encode()
        assert said in reply.body
        assert reply.body.count(b'"service_tier"') == reply.body.count(said)
        recorded(gateway, before + 1)
        assert used(gateway)[-1] == billed
        sent = gateway.upstream.served[gateway.of(UsageRecorded)[-1].event.id].body
        assert sent.get("service_tier") == (None if asked == "" and billed == "default" else billed)


def test_azures_dialect_is_refused_in_its_own_words(gateway: Gateway) -> None:
    gateway.serve(tiered(gateway, **OFFERS["flex"]))
    reply = ask(gateway, chat("hi", service_tier="priority"), path=AZURE.format("chat"))
    assert (reply.status, reply.error["code"]) == (400, "BadRequest")
    assert reply.error["message"].endswith("it has: auto, default, flex.")


def test_a_tier_that_is_no_text_is_refused(gateway: Gateway) -> None:
    gateway.serve(tiered(gateway))
    reply = ask(gateway, chat("hi", service_tier=1))
    assert (reply.status, reply.error["param"]) == (400, "service_tier")


# ---- priority

NOON = 1_700_000_000 * SECOND // QUARTER * QUARTER  # Any instant that begins a quarter hour.


LONG = "word " * 200  # Its prompt alone is more than a few minutes' tokens, as it is counted here and by the upstream.


def set_clock(gateway: Gateway, at: int = NOON) -> None:
    gateway.do(lambda: setattr(gateway.api, "now", lambda: at))


def slow(free: int, **more: Any) -> ServiceTiers:
    """A tier whose use may be of so many tokens a minute, and no more as long as nothing was before."""
    return ServiceTiers(PriorityRules(tokens_per_minute_free=free, **more), FlexRules())


def downgraded(reply: Reply) -> bool:
    """Whether the answer says so; it says the tier in any case."""
    told = reply.headers.get(REASON)
    assert reply.headers[TIER] == ("priority" if told is None else "default")
    assert told in {None, "priority_ramp"}
    return told is not None


@pytest.mark.parametrize("limited", [False, True])
def test_who_grows_too_fast_is_served_and_billed_at_the_default_tier(gateway: Gateway, limited: bool) -> None:
    """Of 10 tokens a minute, 10 are allowed in the first one."""
    set_clock(gateway)
    limit = ServedLimit(Limit("tokens", "tokens", "window", 10**6, MINUTE), "tokens_per_minute", "all")
    gateway.serve(tiered(gateway, service_tiers=slow(10), limits=(limit,) if limited else ()))
    assert not downgraded(say(gateway, "priority", LONG))
    replies = [say(gateway, "priority"), say(gateway, "priority", stream=True), say(gateway, "fast")]
    assert all(downgraded(reply) for reply in replies)
    assert used(gateway) == ["priority", "default", "default", "default"]
    assert [served.body["service_tier"] for served in gateway.upstream.served.values()][1:] == ["default"] * 3
    assert gateway.flow.desk.counts.tiers == {("priority", "priority"): 1, ("priority", "default"): 3}


def test_an_answer_counts_too_once_it_has_been_given(gateway: Gateway) -> None:
    set_clock(gateway)
    gateway.serve(tiered(gateway, service_tiers=slow(50)))
    assert not downgraded(say(gateway, "priority", "hello [[chunks=400]]"))
    set_clock(gateway, NOON + SECOND)
    assert downgraded(say(gateway, "priority"))
    set_clock(gateway, NOON + 14 * MINUTE)  # What was not used earlier in the quarter may be used now.
    assert not downgraded(say(gateway, "priority"))


def test_half_as_much_again_as_in_the_quarter_before_is_allowed(gateway: Gateway) -> None:
    gateway.serve(tiered(gateway, service_tiers=slow(1)))
    set_clock(gateway)
    assert not downgraded(say(gateway, "priority", LONG))
    set_clock(gateway, NOON + QUARTER)
    assert not downgraded(say(gateway, "priority"))  # Of some 1,000 tokens 100 a minute.
    set_clock(gateway, NOON + 3 * QUARTER)
    assert not downgraded(say(gateway, "priority", LONG))
    assert downgraded(say(gateway, "priority"))


def test_several_gateways_grow_together() -> None:
    place = MemoryCounters()
    with (
        running_gateway(published=False, counters=place.holder("a")) as one,
        running_gateway(published=False, counters=place.holder("b")) as other,
    ):
        for gateway in (one, other):
            set_clock(gateway)
            gateway.serve(tiered(gateway, service_tiers=slow(10)))
        assert not downgraded(say(one, "priority", LONG))
        assert downgraded(say(other, "priority"))


@pytest.mark.parametrize("path", ["/v1/chat/completions", AZURE.format("chat")])
def test_a_prompt_that_is_too_long_for_priority_is_served_at_the_default_tier(gateway: Gateway, path: str) -> None:
    gateway.serve(tiered(gateway, service_tiers=slow(10**6, prompt_tokens_max=50), tokenizer="cl100k_base"))
    replies = [ask(gateway, chat("word " * words, service_tier="priority"), path=path) for words in (30, 60)]
    assert [reply.status for reply in replies] == [200, 200]
    told = [{name: reply.headers.get(name) for name in (TIER, REASON)} for reply in replies]
    assert told == [{TIER: "priority", REASON: None}, {TIER: "default", REASON: "long_prompt"}]
    assert used(gateway) == [record.tier for record in gateway.of(Admitted)] == ["priority", "default"]
    assert [served.body["service_tier"] for served in gateway.upstream.served.values()] == ["priority", "default"]
    assert gateway.flow.desk.counts.tiers == {("priority", "priority"): 1, ("priority", "default"): 1}
    assert "x-entrepot-service-tier-reason" not in say(gateway, "default", "word " * 60).headers


def test_a_prompt_is_not_held_to_tokens_that_nobody_can_count_yet(gateway: Gateway) -> None:
    """Tokenizers are loaded when a gateway begins; until then it counts prompts in bytes."""
    gateway.serve(tiered(gateway))
    gateway.serve(tiered(gateway, service_tiers=slow(10**6, prompt_tokens_max=50), tokenizer="cl100k_base"))
    assert gateway.flow.counting.missing == ("cl100k_base",)
    assert say(gateway, "priority", "word " * 60).status == 200


def test_priority_shares_the_quota_of_its_deployment(gateway: Gateway) -> None:
    requests = ServedLimit(Limit("requests", "requests", "window", 2, 10**15), "requests_per_minute", "all of it")
    gateway.serve(tiered(gateway, limits=(requests,)))
    replies = [say(gateway, tier) for tier in ("priority", "default", "priority")]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].error["entrepot"]["limit"] == "requests_per_minute"
    assert replies[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert not [name for name in replies[0].headers if name.startswith("x-ratelimit-") and "priority" in name]


def test_nothing_spills_into_priority(gateway: Gateway) -> None:
    """What a provisioned deployment is too busy for is served at the default tier, whatever the other one's is."""
    load = ServedLimit(Limit("load", "load", "bucket", 1, drain=1), "provisioned_units", "the deployment search/peak")
    peak = deployment(
        "peak",
        target(gateway.upstream.base_url),
        limits=(load,),
        usable=ALWAYS,
        spillover="chat",
        model="model-of-chat",
    )
    gateway.serve(peak, tiered(gateway, service_tier="priority"))
    assert say(gateway, model="peak").status == 200
    spilled = say(gateway, "auto", model="peak")
    assert spilled.headers["x-ms-deployment-name"] == "chat"
    assert spilled.headers["x-entrepot-service-tier"] == "default"
    eventually(lambda: len(used(gateway)) == 2)
    assert used(gateway) == ["default", "default"]
    refused = say(gateway, "priority", model="peak")
    assert (refused.status, refused.error["param"]) == (400, "service_tier")
    assert refused.error["message"].endswith("it has: auto, default.")


# ---- flex


def test_flex_is_served_while_there_is_capacity_to_spare(gateway: Gateway) -> None:
    """Of 4 requests at a time, half may be in use."""
    gateway.serve(tiered(gateway), up=UpstreamRules(max_concurrent=4))
    open_streams = []
    for _ in range(2):
        assert say(gateway, "flex").status == 200
        connection = connect(gateway)
        connection.sendall(request_bytes(chat("hello [[chunks=5 stall=1]]", stream=True)))
        read_until(connection, b"w1")
        open_streams.append(connection)
    recorded = len(gateway.of(Admitted))
    refused = say(gateway, "flex")
    assert (refused.status, refused.error["code"]) == (429, "flex_unavailable")
    why = refused.error["entrepot"]
    assert (why["limit"], why["units"], why["used"], why["can_ever_fit"]) == ("flex", 2, 2, True)
    assert int(refused.headers["retry-after-ms"]) == why["retry_after_ms"]
    assert refused.headers["x-should-retry"] == "true"
    assert len(gateway.of(Admitted)) == recorded  # It is in no record, so it cannot be billed,
    assert [say(gateway, "default").status, say(gateway, "priority").status] == [200, 200]  # and others are served.
    for connection in open_streams:
        connection.close()
    eventually(lambda: all(way.endpoint.in_flight == 0 for way in gateway.flow.ways.places.values()))
    assert say(gateway, "flex").status == 200


def test_flex_goes_where_there_is_capacity_to_spare(gateway: Gateway) -> None:
    other = gateway.another_upstream()
    both = (target(gateway.upstream.base_url), target(other.base_url, "other", rank=1))
    rules = {"up": UpstreamRules(max_concurrent=2), "other": UpstreamRules(max_concurrent=4)}
    gateway.serve(deployment("chat", *both, **OFFERS["both"]), **rules)
    with connect(gateway) as connection:
        connection.sendall(request_bytes(chat("hello [[chunks=5 stall=1]]", stream=True)))
        read_until(connection, b"w1")
        assert [say(gateway, tier).status for tier in ("flex", "default", "flex")] == [200] * 3
    assert [item.upstream for item in gateway.of(Admitted)] == ["up", "other", "up", "other"]


def test_a_refusal_of_flex_gives_back_what_was_held(gateway: Gateway) -> None:
    tokens = ServedLimit(Limit("tokens", "tokens", "window", 1000, 10**15), "tokens_per_minute", "all of it")
    gateway.serve(tiered(gateway, limits=(tokens,)), up=UpstreamRules(max_concurrent=1))
    with connect(gateway) as connection:
        connection.sendall(request_bytes(chat("hello [[chunks=5 stall=1]]", stream=True, max_tokens=5)))
        read_until(connection, b"w1")
        replies = [say(gateway, "flex", max_tokens=300) for _ in range(9)]  # Each holds more than a third of it.
        assert {reply.error["code"] for reply in replies} == {"flex_unavailable"}
        assert replies[0].error["entrepot"]["estimate"]["output_tokens"] == 300


# ---- beside other things


def test_other_tiers_pass_by_the_cache() -> None:
    """Also where a request at the default tier has left its answer there."""
    cache = AnswerCaching(ttl_s=60, requests="all")
    with running_gateway(published=False, stores=lambda _: {"memory": MemoryAnswerStore(2**20)}) as gateway:
        gateway.serve(tiered(gateway, cache=cache, tiers=PRICED | {"cached": ALWAYS}))
        replies = [say(gateway, tier) for tier in ("default", "default", "priority", "flex")]
        assert [reply.headers.get("x-entrepot-cache") for reply in replies] == ["miss", "hit", None, None]
        assert [reply.headers["x-entrepot-service-tier"] for reply in replies] == ["default"] * 2 + ["priority", "flex"]
        recorded(gateway, 4)
        assert used(gateway) == ["default", "cached", "priority", "flex"]


def test_a_request_at_priority_waits_in_the_queue_as_any_other(gateway: Gateway) -> None:
    requests = ServedLimit(Limit("requests", "requests", "window", 1, 60 * SECOND), "requests_per_minute", "all of it")
    set_clock(gateway)
    gateway.serve(tiered(gateway, limits=(requests,), queue=Queueing(60), service_tiers=slow(10**6)))
    assert say(gateway).status == 200
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(lambda: say(gateway, "priority"))
        eventually(lambda: gateway.flow.desk.counts.waiting == 1)
        set_clock(gateway, NOON + MINUTE)
        gateway.do(lambda: gateway.flow.sweep(NOON + MINUTE))
        reply = asked.result()
    assert (reply.status, reply.headers["x-entrepot-service-tier"]) == (200, "priority")
    assert "x-entrepot-queued-ms" in reply.headers


def test_the_metrics_say_what_was_chosen_and_served(gateway: Gateway) -> None:
    gateway.serve(tiered(gateway))
    say(gateway, "priority")
    say(gateway, "flex")
    say(gateway)
    told = ask(gateway, path="/metrics", headers={}).body.decode()
    lines = [line for line in told.splitlines() if line.startswith("entrepot_service_tier_requests_total")]
    assert sorted(lines) == [
        'entrepot_service_tier_requests_total{chosen="flex",served="flex"} 1',
        'entrepot_service_tier_requests_total{chosen="priority",served="priority"} 1',
    ]
