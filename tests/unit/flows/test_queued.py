"""Requests that wait for room: what a bug of ours in one of them does to the others."""

import pytest

from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.admission.counts import Counts
from entrepot.admission.desk import Desk
from entrepot.admission.holds import Hold, Need
from entrepot.admission.measures import MetLimit
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.errors import EntrepotError
from entrepot.core.estimate import Estimate
from entrepot.core.periods import SECOND
from entrepot.core.tenancy import Queueing
from entrepot.core.usage_event import Outcome
from entrepot.flows.serve_inference.queued import Queue, Queued

ONE = ServedLimit(Limit("one", "requests", "window", 2, 10 * SECOND), "requests_per_minute", "the deployment")
NOTHING = Estimate(0, 0, 0, 0)


class Waiter:
    """Who asks, and what is done for it: it crashes where it is told to."""

    def __init__(self, queue: Queue, desk: Desk, *, crashes: bool = False) -> None:
        self._crashes = crashes
        self.said: list[str] = []
        self.queued = Queued(queue, desk, [], [Need(MetLimit(ONE), 1)], NOTHING, 0, self, self.go_on, None)  # type: ignore[arg-type]
        self.queued.start()

    def go_on(self, hold: Hold) -> "Waiter":
        if self._crashes:
            hold.release(0)
            raise ZeroDivisionError
        self.said.append("admitted")
        return self

    def refuse(self, error: EntrepotError) -> None:
        self.said.append(error.code)

    def tell_queued(self, waited_ms: int) -> None:
        self.said.append(f"waited {waited_ms}")

    def left(self, outcome: Outcome) -> None: ...

    def pause(self, paused: bool) -> None: ...

    def client_left(self, outcome: Outcome = "client_left") -> None: ...


def test_a_bug_as_one_is_let_go_ends_it_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(MemoryCounters().holder("gateway"))
    queue = Queue(Queueing(60), Counts())
    for _ in range(2):
        assert Waiter(queue, desk).said == ["admitted"]
    first, second, third = (Waiter(queue, desk, crashes=crashes) for crashes in (True, False, True))
    queue.sweep(10 * SECOND)
    queue.sweep(20 * SECOND)
    assert first.said == ["waited 10000", "internal"]
    assert second.said == ["waited 10000", "admitted"]
    assert third.said == ["waited 10000", "internal"]
    assert queue.is_empty
    assert caplog.text.count("request_not_begun") == 2
