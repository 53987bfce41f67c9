"""Queues: a request that there is no room for now waits for it where its deployment says so, in its turn."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.admission.counts import Counts
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.periods import END_OF_TIME, MINUTE, SECOND
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.tenancy import Queueing
from tests.integration.gateway.test_limits import Far
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import Reply, ask, chat, connect, request_bytes

AGES = 100 * 365 * 24 * 60 * MINUTE  # A window that is not over before these tests are.
LOAD = Limit(
    "load", "load", "bucket", 100, drain=1_500
)  # 25 leave it in a second, so that there is room in 20 s when it holds 600.
UNITS = ServedLimit(LOAD, "provisioned_units", "the deployment search/chat")
REQUESTS = ServedLimit(Limit("requests", "requests", "window", 50, AGES), "requests_per_minute", "all of it")


class Queueable:
    """A gateway whose deployment `chat` has a bucket, which its test fills, and a time that its test moves on."""

    def __init__(self, gateway: Gateway, place: MemoryCounters, clients: ThreadPoolExecutor) -> None:
        self.gateway = gateway
        self.place = place
        self.clients = clients
        self.late_us = 0

    def chat(self, queue: Queueing | None = None, *more: ServedLimit, **changes: Any) -> ServedDeployment:
        base_url = self.gateway.upstream.base_url
        return deployment("chat", target(base_url), limits=(UNITS, *more), queue=queue, **changes)

    def serve(self, queue: Queueing | None, *more: ServedLimit) -> None:
        self.gateway.serve(self.chat(queue, *more))

    def fill(self, units: int) -> None:
        """There are so many in the bucket."""

        def take() -> None:
            kept = self.place._of(LOAD, self.now)
            kept.counter.take(LOAD, units - kept.counter.used(LOAD, self.now), self.now)

        self.gateway.do(take)

    @property
    def now(self) -> int:
        return self.gateway.api.now() + self.late_us

    def ask(self, **fields: Any) -> "Future[Reply]":
        return self.clients.submit(lambda: ask(self.gateway, chat("hello [[chunks=5]]", **{"max_tokens": 5} | fields)))

    def join(self, **fields: Any) -> "Future[Reply]":
        """A request that must wait, and does."""
        before = self.counts.waited
        asked = self.ask(**fields)
        eventually(lambda: self.counts.waited == before + 1)
        return asked

    def sweep(self, seconds: float = 0) -> None:
        """As if so much more time had passed."""
        self.late_us += round(seconds * SECOND)
        self.gateway.do(lambda: self.gateway.flow.sweep(self.now))

    @property
    def counts(self) -> Counts:
        return self.gateway.flow.desk.counts


@pytest.fixture
def queueable() -> Iterator[Queueable]:
    place = MemoryCounters()
    with running_gateway(published=False, counters=place.holder("a")) as gateway, ThreadPoolExecutor(8) as clients:
        yield Queueable(gateway, place, clients)


def test_a_request_waits_until_it_fits_and_says_how_long(queueable: Queueable) -> None:
    queueable.serve(Queueing(60))
    queueable.fill(600)
    asked = queueable.join()
    queueable.sweep(1)
    assert not asked.done()
    assert (queueable.counts.waiting, queueable.gateway.of(Admitted)) == (1, [])
    queueable.sweep(24)
    reply = asked.result()
    assert reply.status == 200
    assert int(reply.headers["x-entrepot-queued-ms"]) >= 25_000
    assert (queueable.counts.waiting, queueable.counts.waited) == (0, 1)
    queueable.fill(0)
    assert "x-entrepot-queued-ms" not in queueable.ask().result().headers


def test_without_the_option_nobody_waits(queueable: Queueable) -> None:
    queueable.serve(None)
    queueable.fill(600)
    refused = queueable.ask().result()
    assert refused.status == 429
    assert "x-entrepot-queued-ms" not in refused.headers
    assert "queued_ms" not in refused.error["entrepot"]


def test_what_cannot_fit_in_time_is_refused_at_once(queueable: Queueable) -> None:
    queueable.serve(Queueing(60))
    queueable.fill(2_000)  # There is room in 76 s.
    refused = queueable.ask().result()
    assert (refused.status, queueable.counts.waited) == (429, 0)
    assert "queued_ms" not in refused.error["entrepot"]


@pytest.mark.parametrize("late", [1, 61], ids=["it cannot fit in time any more", "the time is over"])
def test_who_is_refused_after_waiting_is_told_so(queueable: Queueable, late: int) -> None:
    queueable.serve(Queueing(60))
    queueable.fill(600)
    asked = queueable.join()
    queueable.fill(2_000)
    queueable.sweep(late)
    refused = asked.result()
    assert refused.status == 429
    assert refused.error["code"] == "capacity_exceeded"
    waited_ms = refused.error["entrepot"]["queued_ms"]
    assert waited_ms >= late * 1_000
    assert refused.headers["x-entrepot-queued-ms"] == str(waited_ms)
    assert f"it has waited {waited_ms} ms already" in refused.error["message"]
    assert queueable.counts.waiting == 0


def test_first_come_first_served(queueable: Queueable) -> None:
    queueable.serve(Queueing(60))
    queueable.fill(600)
    joined = [queueable.join(max_tokens=500) for _ in range(5)]
    while joined:  # The bucket takes one whatever its size, and then no more for long.
        queueable.fill(100)
        queueable.sweep()
        assert joined.pop(0).result().status == 200
        assert queueable.counts.waiting == len(joined)


def test_a_later_request_does_not_pass_those_that_wait(queueable: Queueable) -> None:
    queueable.serve(Queueing(60))
    queueable.fill(600)
    first = queueable.join(max_tokens=500)
    queueable.fill(100)  # There is room; the first of the queue learns of it at the next sweep.
    second = queueable.join()
    queueable.sweep()
    assert first.result().status == 200
    assert queueable.counts.waiting == 1
    queueable.fill(0)
    queueable.sweep()
    assert second.result().status == 200


def test_as_many_as_may_wait_do_and_the_next_is_refused(queueable: Queueable) -> None:
    queueable.serve(Queueing(60, requests=2))
    queueable.fill(600)
    joined = [queueable.join() for _ in range(2)]
    refused = queueable.ask().result()
    assert refused.status == 429
    assert refused.error["entrepot"]["limit"] == "provisioned_units"
    assert "queued_ms" not in refused.error["entrepot"]
    queueable.fill(0)
    queueable.sweep()
    assert [one.result().status for one in joined] == [200, 200]


def test_who_leaves_the_queue_holds_nothing(queueable: Queueable) -> None:
    queueable.serve(Queueing(60), REQUESTS)
    queueable.fill(600)
    with connect(queueable.gateway) as client:
        client.sendall(request_bytes(chat("hello", max_tokens=5)))
        eventually(lambda: queueable.counts.waiting == 1)
        last = queueable.join()
    eventually(lambda: queueable.counts.waiting == 1)
    queueable.fill(0)
    queueable.sweep()
    assert last.result().status == 200
    assert len(queueable.gateway.of(Admitted)) == 1
    queueable.sweep()
    queueable.sweep()
    assert queueable.place._kept["requests"].counter.used(REQUESTS.limit, 0) == 1


def test_who_leaves_while_the_counters_are_asked_gives_back_what_they_grant() -> None:
    place = MemoryCounters()
    far = Far(place)
    with running_gateway(published=False, counters=far) as gateway, ThreadPoolExecutor(1) as clients:
        queueable = Queueable(gateway, place, clients)
        queueable.serve(Queueing(60), REQUESTS)
        queueable.fill(600)
        with connect(gateway) as client:
            client.sendall(request_bytes(chat("hello", max_tokens=5)))
            eventually(lambda: far.asked)
            gateway.do(far.answer)
            assert queueable.counts.waiting == 1
            last = queueable.join()
            queueable.fill(0)
            queueable.sweep()
            assert len(far.asked) == 1  # The first asks, and the other one waits for that.
        eventually(lambda: len(gateway.api.connections) == 1)
        gateway.do(far.answer)
        if far.asked:  # What came back of the first may do for the next.
            gateway.do(far.answer)
        assert last.result().status == 200
        assert len(gateway.of(Admitted)) == 1
        queueable.sweep()
        queueable.sweep()
        assert place._kept["requests"].counter.used(REQUESTS.limit, 0) == 1


def test_no_budget_is_waited_for(queueable: Queueable) -> None:
    queueable.serve(Queueing(60), ServedLimit(Limit("budget", "tokens", "budget", 60), "budget", "all of it"))
    while (reply := queueable.ask().result()).status == 200:
        pass
    assert reply.status == 429
    assert reply.error["entrepot"]["limit"] == "budget"
    assert queueable.counts.waited == 0


def test_what_can_never_fit_is_refused_behind_others_too(queueable: Queueable) -> None:
    queueable.serve(Queueing(60), ServedLimit(Limit("tokens", "tokens", "window", 500, AGES), "tokens", "all of it"))
    queueable.fill(600)
    joined = queueable.join()
    assert queueable.ask(max_tokens=800).result().error["code"] == "request_never_fits"
    queueable.fill(0)
    queueable.sweep()
    assert joined.result().status == 200


def test_a_request_waits_first_and_spills_then(queueable: Queueable) -> None:
    queueable.gateway.serve(
        queueable.chat(Queueing(60), usable=((0, END_OF_TIME),), spillover="other"),
        deployment("other", target(queueable.gateway.upstream.base_url)),
    )
    queueable.fill(600)
    asked = queueable.join()
    queueable.fill(2_000)
    queueable.sweep(1)
    spilled = asked.result()
    assert spilled.status == 200
    assert spilled.headers["x-ms-spillover-from-deployment"] == "chat"
    assert int(spilled.headers["x-entrepot-queued-ms"]) >= 1_000
    assert [record.event.deployment for record in queueable.gateway.of(UsageRecorded)] == ["other"]
