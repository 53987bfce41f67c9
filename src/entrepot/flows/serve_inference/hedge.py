"""Two attempts of one request: the second begins when the first is slow to answer, and who answers first has won.

Each has a runner, who passes on to the exchange what it hears, once the exchange has taken up its attempt. So the
exchange is always at one attempt, as it is without a hedge. Only requests whose pool says hedge_after_ms have a timer.
"""

from asyncio import TimerHandle
from typing import Protocol

from entrepot.core.usage_event import AttemptOutcome
from entrepot.dialects.openai import read_answer
from entrepot.flows.serve_inference.attempts import speaks_of_itself
from entrepot.flows.serve_inference.shared import Shared
from entrepot.flows.serve_inference.ways import Way
from entrepot.relay.attempt import Attempt, Failure, Outlet
from entrepot.relay.http1 import AnswerHead
from entrepot.relay.usage_tap import StreamTap

# Way, attempt, number, when it began, whether it is in the log, whether it is at its endpoint.
AttemptState = tuple[Way, Attempt, int, int, bool, bool]


class Hedged(Protocol):
    """The exchange, as a race sees it."""

    def swap(self, state: AttemptState | None) -> AttemptState:
        """Takes up another attempt, or none for now; which one it was at."""
        ...

    def begin_hedge(self, taker: "Runner") -> bool:
        """Whether an attempt at a further upstream has begun, which the exchange is at now."""
        ...

    def end_attempt(
        self, outcome: AttemptOutcome, status: int = 0, usage: bytes = b"", *, runs_on: bool = False
    ) -> None:
        """Records the attempt it is at, if it may have got to its upstream, and leaves that, unless it runs on."""
        ...

    def judge(self, head: AnswerHead | None) -> None:
        """Tells the fleet of an answer that speaks of the attempt's upstream, or that there was none."""
        ...

    def next_request(self) -> bytes | None: ...
    def stream_begins(self, head: AnswerHead) -> Outlet: ...
    def stream_ended(self, tap: StreamTap) -> None: ...
    def answered(self, head: AnswerHead, body: bytes) -> None: ...
    def failed(self, failure: Failure) -> None: ...


class Race:
    """The attempts of one request until one of them has won."""

    __slots__ = ("_current", "_other", "_shared", "_timer", "exchange")

    def __init__(self, exchange: Hedged, shared: Shared, after_ms: int) -> None:
        self.exchange = exchange
        self._shared = shared
        self._current: Runner | None = None
        self._other: Runner | None = None
        self._timer: TimerHandle | None = shared.ways.later(after_ms / 1000, self._hedge)

    def first(self) -> "Runner | None":
        """The taker of the first attempt; None for one that takes the place of another, with which the race is over."""
        if self._current is not None:
            self.over()
            return None
        self._current = Runner(self)
        return self._current

    def over(self) -> None:
        """The request has ended, or its answer begun: no other attempt is wanted."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        other, self._other = self._other, None
        if other is not None:
            self._stop(other)

    def take_up(self, runner: "Runner") -> None:
        """Has the exchange be at the runner's attempt."""
        if runner.state is not None:
            last = self.exchange.swap(runner.state)
            runner.state = None
            if self._current is not None:
                self._current.state = last
            if self._other is runner:
                self._other = self._current
            self._current = runner

    def prefer_what_was_sent(self) -> None:
        """Has the exchange be at the other attempt, if there is one, unless its own may have reached its upstream."""
        if self._other is not None and not self.exchange.swap(None)[4]:
            self.take_up(self._other)

    def has_another(self) -> bool:
        """Whether the request has an attempt beside the one the exchange is at."""
        return self._other is not None

    def go_on_with_the_other(self) -> None:
        """The attempt at hand is over, and the other one is all there is."""
        other, self._other = self._other, None
        assert other is not None
        assert other.state is not None
        self.exchange.swap(other.state)
        other.state = None
        self._current = other

    def _hedge(self) -> None:
        self._timer = None
        first, second = self._current, Runner(self)
        state = self.exchange.swap(None)
        assert first is not None
        first.state = state
        self._current, self._other = second, first
        if self.exchange.begin_hedge(second):
            self._shared.hedges += 1
        else:
            self.go_on_with_the_other()

    def _stop(self, runner: "Runner") -> None:
        """Stops an attempt that is not wanted, or lets it run on for what it says of itself, by its upstream's rule."""
        assert runner.state is not None
        way, attempt = runner.state[:2]
        runner.lost = way.endpoint.rules.on_client_abort == "drain" and attempt.was_sent
        if runner.lost:
            attempt.mute()
        else:
            attempt.cancel()
        # Now, though it may run on: the log must say which attempt answers, for the request may never be settled.
        self.record(runner, "outrun", runs_on=runner.lost)

    def record(
        self, runner: "Runner", outcome: AttemptOutcome, status: int = 0, usage: bytes = b"", *, runs_on: bool = False
    ) -> None:
        """Records what came of an attempt that the exchange is not at."""
        assert runner.state is not None
        last = self.exchange.swap(runner.state)
        self.exchange.end_attempt(outcome, status, usage, runs_on=runs_on)
        runner.state = self.exchange.swap(last)


class Runner:
    """The taker of one of the attempts. state: the attempt's, while the exchange is at another one; lost: it ran on."""

    __slots__ = ("_race", "lost", "state")

    def __init__(self, race: Race) -> None:
        self._race = race
        self.state: AttemptState | None = None
        self.lost = False

    def next_request(self) -> bytes | None:
        """See relay.attempt.Taker."""
        if self.lost:  # To be sent again, on a fresh connection.
            self._race.record(self, "broken")
            return None
        self._race.take_up(self)
        return self._race.exchange.next_request()

    def stream_begins(self, head: AnswerHead) -> Outlet:
        """The first to begin has won."""
        if self.lost:
            return Outlet(_drop, _drop)
        self._race.take_up(self)
        self._race.over()
        return self._race.exchange.stream_begins(head)

    def stream_ended(self, tap: StreamTap) -> None:
        """See relay.attempt.Taker."""
        if self.lost:
            self._race.record(self, "outrun", 200, tap.usage)
        else:
            self._race.exchange.stream_ended(tap)

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """The first answer has won, unless it speaks of its upstream and another one may do better."""
        if self.lost:
            self._race.record(self, "outrun", head.status, _usage_in(body))
            return
        self._race.take_up(self)
        if self._race.has_another() and speaks_of_itself(head.status):
            self._race.exchange.judge(head)
            self._race.exchange.end_attempt("refused", head.status, _usage_in(body))
            self._race.go_on_with_the_other()
        else:
            self._race.exchange.answered(head, body)  # With the request, the race is over.

    def failed(self, failure: Failure) -> None:
        """The request goes on with the other attempt, if there is one."""
        outcome: AttemptOutcome = "broken" if failure.reason == "crashed" else failure.reason
        if self.lost:
            self._race.record(self, outcome)
            return
        self._race.take_up(self)
        if not self._race.has_another():
            self._race.exchange.failed(failure)
            return
        self._race.exchange.judge(None)
        self._race.exchange.end_attempt(outcome)
        self._race.go_on_with_the_other()


def _usage_in(body: bytes) -> bytes:
    said = read_answer(body)
    return said.usage if said else b""


def _drop(data: bytes) -> None:
    """Of an answer that came second."""
    del data
