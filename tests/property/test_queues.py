"""A queue: whoever waits is let go in the order of arrival, within the bound, and everybody ends once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.admission.desk import Desk
from entrepot.admission.holds import Hold
from entrepot.admission.measures import MetLimit
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.errors import EntrepotError
from entrepot.core.estimate import Estimate
from entrepot.core.periods import MINUTE, SECOND
from entrepot.core.tenancy import Queueing
from entrepot.flows.serve_inference.queued import Queue, Queued

START = 100 * MINUTE
SWEEP = SECOND // 4
BUCKET = ServedLimit(Limit("load", "load", "bucket", 100, drain=3_000), "provisioned_units", "chat")
WINDOW = ServedLimit(Limit("requests", "requests", "window", 3, SECOND), "requests_per_minute", "chat")
LIMITS = st.sampled_from([(BUCKET,), (WINDOW,), (WINDOW, BUCKET)])
# What arrives before each sweep: (tokens, whether its client leaves at once), or nothing.
STEPS = st.lists(st.none() | st.tuples(st.integers(1, 400), st.booleans()), max_size=60)


class Client:
    """Remembers what it was told, and when."""

    def __init__(self, log: list["Client"], at: int) -> None:
        self.log = log
        self.at = at
        self.ends: list[str] = []
        self.queued_ms: int | None = None

    def tell_queued(self, waited_ms: int) -> None:
        self.queued_ms = waited_ms

    def refuse(self, error: EntrepotError) -> None:
        self.ends.append(error.code)

    def left(self, outcome: str) -> None:
        self.ends.append(outcome)

    def go_on(self, hold: Hold) -> Any:
        self.ends.append("admitted")
        self.log.append(self)
        hold.keep(self.at)


@given(LIMITS, STEPS, st.integers(1, 6), st.integers(1, 5))
def test_in_turn_within_the_bound_and_once(
    limits: tuple[ServedLimit, ...], steps: list[tuple[int, bool] | None], for_s: int, requests: int
) -> None:
    desk = Desk(MemoryCounters().holder("a"))
    queue = Queue(Queueing(for_s, requests), desk.counts)
    admitted: list[Client] = []
    asked: list[tuple[Client, Queued]] = []
    at, met = START, tuple(MetLimit(served) for served in limits)
    for step in [*steps, *[None] * (for_s * 4 + 4)]:
        at += SWEEP // 2  # There may be room again of which the queue has not heard.
        if step is not None:
            tokens, leaves = step
            client = Client(admitted, at)
            needs = desk.needs(met, Estimate(tokens, 0, tokens, 0), "default", at)
            estimate = Estimate(tokens, 0, tokens, 0)
            one = Queued(queue, desk, [], needs, estimate, at, client, client.go_on, None)  # type: ignore[arg-type]
            asked.append((client, one))
            one.start()
            if leaves and not client.ends:
                one.client_left()
        assert desk.counts.waiting <= requests
        at += SWEEP // 2
        desk.sweep(at)
        queue.sweep(at)
    assert all(len(client.ends) == 1 for client, _ in asked)
    assert [client.at for client in admitted] == sorted(client.at for client in admitted)
    assert all((client.queued_ms or 0) <= for_s * 1_000 + SWEEP // 1_000 for client, _ in asked)
    assert desk.counts.waiting == 0
    assert queue.is_empty


def test_however_many_wait_they_are_let_go_in_one_sweep() -> None:
    desk = Desk(MemoryCounters().holder("a"))
    many = ServedLimit(Limit("requests", "requests", "window", 5_000, SECOND), "requests_per_minute", "chat")
    met = (MetLimit(many),)
    queue = Queue(Queueing(5, 10_000), desk.counts)
    admitted: list[Client] = []
    for _ in range(9_000):
        client = Client(admitted, START)
        needs = desk.needs(met, Estimate(1, 0, 1, 0), "default", START)
        Queued(queue, desk, [], needs, Estimate(1, 0, 1, 0), START, client, client.go_on, None).start()  # type: ignore[arg-type]
    assert (len(admitted), desk.counts.waiting) == (5_000, 4_000)
    queue.sweep(START + SECOND)
    assert (len(admitted), desk.counts.waiting) == (9_000, 0)
