"""Replay: requests leave when the trace says, what is late is said to be late, failures are counted by kind."""

import asyncio
from collections.abc import Iterator
from fractions import Fraction

import pytest

from entrepot.core.errors import BadInput
from entrepot.flows.replay import FRAME_TOKENS, Pace, Replayed, replay, sized
from entrepot.ports.traffic import TrafficAnswer, TrafficRequest
from entrepot.ports.usage_rows import RowFault, TraceBatch, TraceRow
from tests.support.virtual_time import run_virtual

S = 10**9


def row(at_s: float, prompt: int | None = 100, answer: int | None = 20) -> TraceRow:
    return TraceRow(2, int(at_s * S), "", 1, prompt, 0, answer)


class Rows:
    """A trace in memory."""

    def __init__(self, *rows: TraceRow, faults: int = 0) -> None:
        self._batch = TraceBatch(rows, [RowFault(9, "is wrong", "")] * faults)

    def batches(self) -> Iterator[TraceBatch]:
        yield self._batch


class SlowTraffic:
    """Answers after so many seconds; remembers when each request came."""

    def __init__(self, seconds: float = 0.0, errors: dict[int, str] | None = None) -> None:
        self._seconds = seconds
        self._errors = errors or {}
        self.came: list[tuple[float, TrafficRequest]] = []

    async def send(self, request: TrafficRequest) -> TrafficAnswer:
        self.came.append((asyncio.get_running_loop().time(), request))
        await asyncio.sleep(self._seconds)
        error = self._errors.get(request.number, "")
        if error:
            return TrafficAnswer(503, error)
        return TrafficAnswer(200, "", request.prompt_tokens + 9, request.answer_tokens, 1000, int(self._seconds * 1e6))


def run(rows: Rows, traffic: SlowTraffic, **pace: object) -> Replayed:
    return run_virtual(replay(rows, traffic, Pace(**pace), lambda _: None))  # type: ignore[arg-type]


def test_requests_leave_at_their_times() -> None:
    traffic = SlowTraffic()
    done = run(Rows(row(100), row(101.5), row(101.5), row(160)), traffic)
    assert [round(at, 6) for at, _ in traffic.came] == [0.0, 1.5, 1.5, 60.0]
    assert (done.sent, done.answered, done.lateness.max_ms, done.seconds) == (4, 4, 0.0, 60.0)


def test_speed_divides_the_time_between_them() -> None:
    traffic = SlowTraffic()
    run(Rows(row(100), row(160)), traffic, speed=Fraction(120))
    assert [round(at, 6) for at, _ in traffic.came] == [0.0, 0.5]


def test_the_loop_is_open_a_slow_answer_delays_nobody() -> None:
    traffic = SlowTraffic(seconds=30)
    done = run(Rows(*(row(at) for at in range(10))), traffic)
    assert [round(at) for at, _ in traffic.came] == list(range(10))
    assert (done.at_once_most, done.lateness.max_ms, done.latency.p50_ms) == (10, 0.0, 30_000.0)


def test_waiting_for_a_free_place_is_counted_as_late() -> None:
    traffic = SlowTraffic(seconds=5)
    done = run(Rows(row(0), row(1), row(2)), traffic, at_once_max=1)
    assert [round(at) for at, _ in traffic.came] == [0, 5, 10]
    assert (done.lateness.p50_ms, done.lateness.max_ms, done.at_once_most) == (4000.0, 8000.0, 1)


def test_failures_are_counted_by_what_happened() -> None:
    traffic = SlowTraffic(errors={0: "429 rate_limit_exceeded", 2: "503", 3: "503"})
    done = run(Rows(*(row(at) for at in range(5))), traffic)
    assert (done.sent, done.answered, done.failed) == (5, 2, {"503": 2, "429 rate_limit_exceeded": 1})


def test_tokens_are_those_of_the_trace_the_request_and_the_server() -> None:
    done = run(Rows(row(0, 100, 20), row(1, 9000, 700)), SlowTraffic(), context_tokens=1000)
    assert (done.input_tokens.trace, done.input_tokens.asked) == (9100, 100 + 1000 - 250 - FRAME_TOKENS)
    assert done.input_tokens.reported == done.input_tokens.asked + 18
    assert (done.output_tokens.trace, done.output_tokens.asked, done.output_tokens.reported) == (720, 270, 270)
    assert done.cut == 1


@pytest.mark.parametrize("context", [8, 100, 2048])
@pytest.mark.parametrize(("prompt", "answer"), [(0, 0), (1, 1), (10**6, 10**6), (5, 10**6)])
def test_every_request_fits_and_asks_for_something(context: int, prompt: int, answer: int) -> None:
    request = sized(3, row(0, prompt, answer), Pace(context_tokens=context))
    assert request.number == 3
    assert request.prompt_tokens >= 1
    assert request.answer_tokens >= 1
    assert request.prompt_tokens + request.answer_tokens <= max(context, 2)


def test_sizes_can_be_scaled() -> None:
    request = sized(0, row(0, 1000, 200), Pace(scale=Fraction(1, 10)))
    assert (request.prompt_tokens, request.answer_tokens) == (100, 20)


def test_a_limit_ends_it_early_and_bad_rows_are_told() -> None:
    done = run(Rows(*(row(at) for at in range(5)), faults=2), SlowTraffic(), limit=2)
    assert (done.sent, done.unreadable_rows) == (2, 2)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [(Rows(row(0, None, None)), "does not say how large"), (Rows(), "no requests that could be sent")],
)
def test_a_trace_without_requests_cannot_be_replayed(rows: Rows, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        run(rows, SlowTraffic())
