"""Limits: what a request holds, what becomes of that however it ends, and what who is refused is told."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from entrepot.adapters.memory.answer_store import MemoryAnswerStore
from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.core.capacity import Limit, Refill, ServedLimit
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.periods import END_OF_TIME, MINUTE, SECOND, Instant
from entrepot.core.tenancy import AnswerCaching, CacheStore
from entrepot.core.tokens import TOKEN_METERS
from entrepot.core.upstream_rules import UpstreamRules
from entrepot.ports.answer_store import AnswerStore
from entrepot.ports.counters import Draw, Grant, Return, Shortage
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import Reply, ask, chat, connect, request_bytes

AGES = 100 * 365 * 24 * 60 * MINUTE  # A window that is not over before these tests are.


def tokens(units: int, refill: Refill = "window", name: str = "tokens") -> ServedLimit:
    limit = Limit(name, "tokens", refill, units, AGES if refill == "window" else 0)
    return ServedLimit(limit, "tokens_per_minute", "the deployment search/chat")


def requests(units: int) -> ServedLimit:
    return ServedLimit(Limit("requests", "requests", "window", units, AGES), "requests_per_minute", "all of it")


class Limited:
    """A gateway whose deployment `chat` meets limits, and where its counters are."""

    def __init__(self, gateway: Gateway, place: MemoryCounters) -> None:
        self.gateway = gateway
        self.place = place

    def serve(self, *limits: ServedLimit, **changes: Any) -> None:
        base_url = self.gateway.upstream.base_url
        rules = {"up": UpstreamRules(on_client_abort="drain")}
        self.gateway.serve(deployment("chat", target(base_url), limits=limits, **changes), **rules)

    def ask(self, prompt: str = "hello [[chunks=5]]", **fields: Any) -> Reply:
        return ask(self.gateway, chat(prompt, **{"max_tokens": 5} | fields))

    def used(self, limit: ServedLimit) -> int:
        """What is held or spent of a limit, the process having given back what it does not use."""
        self.sweep()
        self.sweep()
        return self.place._kept[limit.limit.id].counter.used(limit.limit, 0)

    def sweep(self, after_us: int = 0) -> None:
        self.gateway.do(lambda: self.gateway.flow.sweep(self.gateway.api.now() + after_us))

    def spent(self) -> int:
        return sum(
            units
            for record in self.gateway.of(UsageRecorded)
            for meter, units in record.event.meters.items()
            if meter in TOKEN_METERS
        )


def memory(loop: asyncio.AbstractEventLoop) -> Mapping[CacheStore, AnswerStore]:
    return {"memory": MemoryAnswerStore(2**20)}


@pytest.fixture
def limited() -> Iterator[Limited]:
    place = MemoryCounters()
    with running_gateway(published=False, counters=place.holder("a"), stores=memory) as gateway:
        yield Limited(gateway, place)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("parallel", [1, 8])
def test_admitted_tokens_are_within_a_hundredth_of_the_limit(limited: Limited, stream: bool, parallel: int) -> None:
    limit = tokens(6_000)
    limited.serve(limit)
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}

    def one(_: int) -> int:
        return limited.ask("a b c [[chunks=20]]", max_tokens=20, **options).status

    with ThreadPoolExecutor(parallel) as pool:
        statuses = list(pool.map(one, range(400)))
    assert set(statuses) == {200, 429}
    assert 0.99 * 6_000 <= limited.spent() <= 6_000
    assert limited.used(limit) == limited.spent()


def test_a_request_is_counted_and_refused_when_there_is_no_room(limited: Limited) -> None:
    limit = requests(2)
    limited.serve(limit)
    assert [limited.ask().status for _ in range(3)] == [200, 200, 429]
    refused = limited.ask()
    assert refused.error["code"] == "rate_limit_exceeded"
    assert limited.used(limit) == 2
    assert len(limited.gateway.of(Admitted)) == 2


def test_what_can_never_fit_is_refused_as_such(limited: Limited) -> None:
    limited.serve(tokens(100))
    refused = limited.ask(max_tokens=2_000)
    assert refused.status == 400
    assert refused.error["code"] == "request_never_fits"
    assert "retry-after" not in refused.headers
    assert limited.ask("hello [[chunks=2]]", max_tokens=None).status == 200  # What is only guessed is no reason.


def test_two_limits_are_taken_together_or_not_at_all(limited: Limited) -> None:
    one, other = tokens(1_000), requests(1)
    limited.serve(one, other)
    assert [limited.ask().status for _ in range(2)] == [200, 429]
    assert (limited.used(one), limited.used(other)) == (limited.spent(), 1)


@pytest.mark.parametrize(
    "prompt",
    ["hi [[chunks=9 delay=0.3]]", "hi [[stall=0]]", "hi [[chunks=9 stall=3]]"],
    ids=["slow", "silent", "stalled"],
)
@pytest.mark.parametrize("rule", ["drain", "cancel"])
def test_a_client_that_leaves_takes_nothing_with_it(limited: Limited, prompt: str, rule: Any) -> None:
    limit = tokens(10_000, "budget")
    base_url = limited.gateway.upstream.base_url
    limited.gateway.serve(deployment("chat", target(base_url), limits=(limit,)), up=UpstreamRules(on_client_abort=rule))
    with connect(limited.gateway) as client:
        client.sendall(request_bytes(chat(prompt, stream=True, max_tokens=20)))
        eventually(lambda: limited.gateway.of(Admitted))
    eventually(lambda: not limited.gateway.api.connections)
    limited.gateway.do(limited.gateway.flow.cut)
    eventually(lambda: all(not item.held for item in allotments(limited)))
    assert limited.used(limit) in {limited.spent(), estimate_of(limited, limit)}


def estimate_of(limited: Limited, limit: ServedLimit) -> int:
    """What is held for a request whose usage is to be resolved: nothing may have come back of it."""
    used = limited.place._kept[limit.limit.id].counter.used(limit.limit, 0)
    assert 20 < used < 100
    return used


def allotments(limited: Limited) -> list[Any]:
    return list(limited.gateway.flow.desk._allotments._by_id.values())


@pytest.mark.parametrize("script", ["status=400", "status=500", "break=0", "junk=1", "break=2", "reset=1 break=1"])
def test_however_an_upstream_fails_the_hold_ends(limited: Limited, script: str) -> None:
    limit = tokens(10_000, "budget")
    limited.serve(limit)
    limited.ask(f"hi [[{script}]]", stream=True, max_tokens=20)
    eventually(lambda: all(not item.held for item in allotments(limited)))
    used = limited.used(limit)
    assert used == limited.spent() or 20 < used < 100


def test_what_nobody_can_serve_holds_nothing(limited: Limited) -> None:
    limit = tokens(10_000, "budget")
    limited.gateway.serve(deployment("chat", limits=(limit,)))
    assert limited.ask().status == 503
    limited.gateway.serve(deployment("chat", target("http://127.0.0.1:9/v1"), limits=(limit,)))
    assert limited.ask().status == 503
    assert limited.used(limit) == 0


def test_an_answer_from_the_cache_is_a_request_and_takes_no_tokens_of_a_minute(limited: Limited) -> None:
    per_minute, in_all, count = tokens(10_000), tokens(10_000, "budget", "in all"), requests(5)
    caching = AnswerCaching(60, requests="all")
    limited.serve(per_minute, in_all, count, cache=caching, tiers={"cached": ((0, END_OF_TIME),)}, revision="1")
    assert [limited.ask().headers["x-entrepot-cache"] for _ in range(3)] == ["miss", "hit", "hit"]
    once = limited.spent() // 3
    assert [limited.used(limit) for limit in (per_minute, in_all, count)] == [once, 3 * once, 3]


class Far:
    """Counters that answer when they are told to, if at all."""

    def __init__(self, place: MemoryCounters) -> None:
        self.near = place.holder("a")
        self.asked: list[Callable[[], None]] = []
        self.is_lost = False

    @property
    def scarce(self) -> set[str]:
        return self.near.scarce

    def tick(self, at: Instant) -> None:
        self.near.tick(at)

    def give(self, returns: Sequence[Return], at: Instant) -> None:
        self.near.give(returns, at)

    def draw(
        self, draws: Sequence[Draw], at: Instant, done: Callable[[tuple[Grant, ...] | Shortage | None], None]
    ) -> None:
        if self.is_lost:
            done(None)
        else:
            self.asked.append(lambda: self.near.draw(draws, at, done))

    def answer(self) -> None:
        asked, self.asked = self.asked, []
        for one in asked:
            one()


@pytest.fixture
def far() -> Iterator[tuple[Limited, Far]]:
    place = MemoryCounters()
    counters = Far(place)
    with running_gateway(published=False, counters=counters, lost_share=10) as gateway:
        yield Limited(gateway, place), counters


def test_a_request_waits_for_the_counters_and_then_goes_on(far: tuple[Limited, Far]) -> None:
    limited, counters = far
    limit = requests(2)
    limited.serve(limit)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(limited.ask) for _ in range(3)]
        eventually(lambda: len(counters.asked) == 3)
        assert limited.gateway.of(Admitted) == []
        limited.gateway.do(counters.answer)
        assert sorted(one.result().status for one in waiting) == [200, 200, 429]


def test_a_client_that_leaves_while_the_counters_are_asked_takes_nothing(far: tuple[Limited, Far]) -> None:
    limited, counters = far
    limit = tokens(1_000, "budget")
    limited.serve(limit)
    with connect(limited.gateway) as client:
        client.sendall(request_bytes(chat("hello", max_tokens=5)))
        eventually(lambda: counters.asked)
    eventually(lambda: not limited.gateway.api.connections)
    limited.gateway.do(counters.answer)
    assert limited.gateway.of(Admitted) == []
    assert limited.used(limit) == 0


def test_nobody_is_refused_while_others_hold_what_they_do_not_use(far: tuple[Limited, Far]) -> None:
    limited, counters = far
    limit = requests(16)
    limited.serve(limit)
    other, at = limited.place.holder("b"), limited.gateway.api.now()
    got: list[Any] = []
    other.draw([Draw(limit.limit, 1, 15)], at, got.append)
    ahead = got[0][0].units - 1
    assert ahead
    other.draw([Draw(limit.limit, 15 - ahead)], at, got.append)
    limited.place._kept["requests"].idle["b"] = ahead
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(limited.ask)
        eventually(lambda: counters.asked)
        limited.gateway.do(counters.answer)
        assert "requests" in other.scarce
        other.give([Return(limit.limit, ahead, 0, at)], at)
        limited.gateway.do(lambda: limited.gateway.flow.sweep(at))
        assert not counters.asked  # It is not time yet.
        limited.sweep(SECOND)
        eventually(lambda: counters.asked)
        limited.gateway.do(counters.answer)
        assert waiting.result().status == 200


def test_while_nobody_can_count_so_much_is_served_as_was_said(far: tuple[Limited, Far]) -> None:
    limited, counters = far
    limit = requests(50)
    limited.serve(limit)
    counters.is_lost = True
    replies = [limited.ask() for _ in range(8)]
    assert [reply.status for reply in replies] == [200] * 5 + [503] * 3
    assert replies[-1].error["code"] == "counters_unavailable"
    assert limited.used(limit) == 5  # They are counted all the same.
    counters.is_lost = False
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(limited.ask)
        eventually(lambda: counters.asked)
        limited.gateway.do(counters.answer)
        assert waiting.result().status == 200


def test_closed_means_closed() -> None:
    counters = Far(MemoryCounters())
    counters.is_lost = True
    with running_gateway(published=False, counters=counters) as gateway:
        limited = Limited(gateway, MemoryCounters())
        limited.serve(requests(50))
        assert limited.ask().status == 503
        gateway.serve(deployment("chat", target(gateway.upstream.base_url)))
        assert limited.ask().status == 200
