"""Requests that wait for room where their deployment says so, instead of being refused: first come, first served.

The first of a queue asks the counters at each sweep; once it is admitted, the next one does at once. A request that
finds a queue stands behind it, though there may be room for one of its size. Who can no longer fit in time is refused
as without a queue, which is also what the last question of one that has waited long enough comes to.
"""

from collections import deque
from collections.abc import Callable

from entrepot.admission.counts import Counts
from entrepot.admission.desk import Desk, Short
from entrepot.admission.holds import Hold, Need
from entrepot.admission.refusals import error_of
from entrepot.core.errors import EntrepotError
from entrepot.core.estimate import Estimate
from entrepot.core.periods import SECOND, Instant
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.tenancy import Queueing
from entrepot.core.usage_event import Outcome
from entrepot.flows.serve_inference.admitting import Admitting, UnderWay
from entrepot.flows.serve_inference.client import LimitedClient


class Queue:
    """Of one deployment in this process. short: why the first of it is not admitted yet."""

    __slots__ = ("_at", "_counts", "_is_asking", "_is_at_work", "_is_stuck", "_waiting", "rule", "short")

    def __init__(self, rule: Queueing, counts: Counts) -> None:
        self.rule = rule
        self.short: Short | None = None
        self._counts = counts
        self._waiting: deque[Queued] = deque()
        self._at: Instant = 0
        self._is_asking = False  # The first asks the counters, which have not answered yet.
        self._is_stuck = False  # There is no room for the first until the next sweep.
        self._is_at_work = False

    @property
    def is_empty(self) -> bool:
        """Whether nobody has to be let go first."""
        return not self._waiting

    @property
    def is_full(self) -> bool:
        """Whether nobody may join."""
        return len(self._waiting) >= self.rule.requests

    def join(self, one: "Queued") -> None:
        """It is the last from now on."""
        self._waiting.append(one)
        self._counts.waiting += 1
        self._counts.waited += 1

    def leave(self, one: "Queued") -> None:
        """One that is not asking waits no more."""
        self._waiting.remove(one)
        self._counts.waiting -= 1

    def pop(self) -> None:
        """The first waits no more: it is admitted, refused, or gone."""
        self._waiting.popleft()
        self._counts.waiting -= 1
        self._is_asking = False

    def sweep(self, at: Instant) -> None:
        """To be called a few times a second."""
        self._at = at
        self._is_stuck = False
        self.go_on()

    def stay(self, short: Short) -> None:
        """There is no room for the first yet."""
        self.short = short
        self._is_asking = False
        self._is_stuck = True

    def go_on(self) -> None:
        """Asks for the first, for one after the other as long as there is room."""
        if self._is_at_work:  # Counters that answer at once are asked in this loop, however many wait.
            return
        self._is_at_work = True
        while self._waiting and not self._is_asking and not self._is_stuck:
            self._is_asking = True
            self._waiting[0].ask(self._at)
        self._is_at_work = False


class Waiting:
    """All that wait in this process. asking: who asks again when others have given back what they do not use."""

    def __init__(self, counts: Counts) -> None:
        self.asking: list[Admitting] = []
        self._counts = counts
        self._queues: dict[tuple[str, str], Queue] = {}

    def queue(self, project: str, deployment: ServedDeployment) -> Queue | None:
        """The deployment's queue, as it is declared now."""
        rule = deployment.queue
        if rule is None:
            return None
        queue = self._queues.get((project, deployment.name))
        if queue is None:
            queue = self._queues[project, deployment.name] = Queue(rule, self._counts)
        queue.rule = rule
        return queue

    def sweep(self, at: Instant) -> None:
        """To be called a few times a second."""
        for queue in self._queues.values():
            queue.sweep(at)
        if self.asking:
            self.asking[:] = [one for one in self.asking if not one.try_again(at)]


class Queued(Admitting):
    """One request that may wait so."""

    __slots__ = ("_has_waited", "_is_asking", "_is_in", "_queue", "_tell_queued")

    def __init__(
        self,
        queue: Queue,
        desk: Desk,
        waiting: list[Admitting],
        needs: list[Need],
        estimate: Estimate,
        at: Instant,
        client: LimitedClient,
        go_on: Callable[[Hold], UnderWay],
        refused: Callable[[Short, EntrepotError], UnderWay | None] | None,
    ) -> None:
        """See Admitting."""
        super().__init__(desk, waiting, needs, estimate, at, client, go_on, refused)
        self._tell_queued = client.tell_queued
        self._queue = queue
        self._is_in = self._is_asking = self._has_waited = False

    def start(self) -> None:
        """Asks the counters, or waits behind those that do already."""
        queue = self._queue
        if queue.is_empty:
            super().start()
            return
        never = self._desk.never(self._needs)
        if never is not None:
            self._drawn(never)
        elif queue.is_full and queue.short is not None:
            super()._drawn(self._of_its_own(queue.short))
        else:
            self._join()

    def ask(self, at: Instant) -> None:
        """It is the first of its queue, and asks the counters."""
        self._at = at
        self._is_asking = True
        super().start()

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone. What the counters are being asked for comes back when they have answered."""
        if self._is_in and not self._is_asking:
            self._is_in = False
            self._queue.leave(self)
        super().client_left(outcome)

    def _drawn(self, result: Hold | Short) -> None:
        self._is_asking = False
        if isinstance(result, Short) and not self._gone and self._fits_in_time(result):
            if self._is_in:
                self._queue.stay(result)
                return
            if not self._queue.is_full:
                self._queue.short = result
                self._join()
                return
        if not self._is_in:
            super()._drawn(result)
            return
        self._is_in = False
        self._queue.pop()
        super()._drawn(result)
        self._queue.go_on()

    def _fits_in_time(self, short: Short) -> bool:
        """Whether to wait for it can help: no budget is waited for."""
        if short.shortage is None or short.need.met.is_budget or short.shortage.wait_us is None:
            return False
        return self._at + short.shortage.wait_us <= self._began + self._queue.rule.for_s * SECOND

    def _of_its_own(self, short: Short) -> Short:
        """Why this one is not admitted, when the first of the queue is not for this reason."""
        limit = short.need.limit.id
        return Short(next((need for need in self._needs if need.limit.id == limit), short.need), short.shortage)

    def _join(self) -> None:
        self._is_in = self._has_waited = True
        self._queue.join(self)

    def _error_of(self, short: Short) -> EntrepotError:
        return error_of(short, self._estimate, self._at, self._waited_ms if self._has_waited else None)

    def _refuse(self, short: Short, error: EntrepotError) -> None:
        if self._has_waited:
            self._tell_queued(self._waited_ms)
        super()._refuse(short, error)

    def _admit(self, hold: Hold) -> None:
        if self._has_waited:
            self._tell_queued(self._waited_ms)
        super()._admit(hold)

    @property
    def _waited_ms(self) -> int:
        return max(0, self._at - self._began) // 1000
