"""Sending a trace's requests to a running gateway when the trace says that they came.

The loop is open: a request goes out at its time whatever became of those before it. Where the bound on how many are
under way at once makes one wait, it leaves late, and how late is measured from when it should have left.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

import msgspec

from entrepot.core.errors import BadInput
from entrepot.ports.traffic import Traffic, TrafficAnswer, TrafficRequest
from entrepot.ports.usage_rows import TraceRow, TraceRows

_US = 1_000_000
_NS_PER_US = 1000
FRAME_TOKENS = 48  # What a chat template may add around a prompt of ours.


class Pace(msgspec.Struct, frozen=True):
    """How a trace is replayed.

    speed: how many times faster than it happened. context_tokens: what prompt and answer may take together; longer ones
    are cut to it, an answer to a quarter of it. scale: a factor on sizes. at_once_max: requests under way at a time.
    """

    speed: Fraction = Fraction(1)
    limit: int | None = None
    context_tokens: int = 2048
    scale: Fraction = Fraction(1)
    at_once_max: int = 256


class Spread(msgspec.Struct, frozen=True):
    """Percentiles of a duration in milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of the requests sent: as the trace has them, as they were asked for, as the server reported them."""

    trace: int
    asked: int
    reported: int


class Replayed(msgspec.Struct, frozen=True):
    """What came of a replay. failed: {what: how many}. cut: requests made smaller to fit the context."""

    sent: int
    answered: int
    failed: dict[str, int]
    unreadable_rows: int
    cut: int
    input_tokens: Tokens
    output_tokens: Tokens
    lateness: Spread
    latency: Spread
    first_byte: Spread
    at_once_most: int
    seconds: float


class _Sent(NamedTuple):
    row: TraceRow
    request: TrafficRequest
    late_us: int
    answer: TrafficAnswer


async def replay(rows: TraceRows, traffic: Traffic, pace: Pace, progress: Callable[[int], None]) -> Replayed:
    """What came of sending the trace. progress: is told how many have been sent. Raises: BadInput."""
    loop = asyncio.get_running_loop()
    free, sent, unreadable = asyncio.Semaphore(pace.at_once_max), list[_Sent](), Counter[str]()
    tasks, under_way, most, begun, first_ns = list[asyncio.Task[None]](), set[int](), 0, loop.time(), -1

    async def send(number: int, row: TraceRow, due: float) -> None:
        late_us = max(0, round((loop.time() - due) * _US))
        try:
            request = sized(number, row, pace)
            sent.append(_Sent(row, request, late_us, await traffic.send(request)))
        finally:
            under_way.discard(number)
            free.release()

    for number, row in enumerate(islice(_requests(rows, unreadable), pace.limit)):
        first_ns = row.at_ns if first_ns < 0 else first_ns
        due = begun + float((row.at_ns - first_ns) / (pace.speed * _NS_PER_US * _US))
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        await free.acquire()
        under_way.add(number)
        most = max(most, len(under_way))
        tasks.append(loop.create_task(send(number, row, due)))
        progress(number + 1)
    await asyncio.gather(*tasks)
    if not sent:
        raise BadInput("the trace holds no requests that could be sent")
    return _report(sent, unreadable.total(), most, loop.time() - begun)


def sized(number: int, row: TraceRow, pace: Pace) -> TrafficRequest:
    """The request of a row, made to fit: at least one token each way, prompt, answer and frame within the context."""
    assert row.input_tokens is not None
    assert row.output_tokens is not None
    answer = min(max(1, int(row.output_tokens * pace.scale)), max(1, pace.context_tokens // 4))
    prompt = min(max(1, int(row.input_tokens * pace.scale)), max(1, pace.context_tokens - answer - FRAME_TOKENS))
    return TrafficRequest(number=number, prompt_tokens=prompt, answer_tokens=answer)


def _requests(rows: TraceRows, unreadable: Counter[str]) -> Iterator[TraceRow]:
    for batch in rows.batches():
        for fault in batch.faults:
            unreadable[fault.reason] += 1
        for row in batch.rows:
            if row.input_tokens is None or row.output_tokens is None:
                raise BadInput("this trace counts requests and does not say how large they were; replay one that does")
            yield row


def _report(sent: Sequence[_Sent], unreadable: int, most: int, seconds: float) -> Replayed:
    answers = [one.answer for one in sent]
    good = [answer for answer in answers if not answer.error]
    return Replayed(
        sent=len(sent),
        answered=len(good),
        failed=dict(Counter(answer.error for answer in answers if answer.error).most_common()),
        unreadable_rows=unreadable,
        cut=sum(
            one.request.prompt_tokens < (one.row.input_tokens or 0)
            or one.request.answer_tokens < (one.row.output_tokens or 0)
            for one in sent
        ),
        input_tokens=Tokens(
            trace=sum(one.row.input_tokens or 0 for one in sent),
            asked=sum(one.request.prompt_tokens for one in sent),
            reported=sum(answer.input_tokens or 0 for answer in answers),
        ),
        output_tokens=Tokens(
            trace=sum(one.row.output_tokens or 0 for one in sent),
            asked=sum(one.request.answer_tokens for one in sent),
            reported=sum(answer.output_tokens or 0 for answer in answers),
        ),
        lateness=_spread([one.late_us for one in sent]),
        latency=_spread([answer.elapsed_us for answer in good]),
        first_byte=_spread([answer.first_byte_us for answer in good]),
        at_once_most=most,
        seconds=round(seconds, 3),
    )


def _spread(durations_us: list[int]) -> Spread:
    """Percentiles by nearest rank; zeros where there is nothing to rank."""
    ranked = sorted(durations_us) or [0]

    def at(percent: int) -> float:
        return ranked[max(0, -(-len(ranked) * percent // 100) - 1)] / 1000

    return Spread(p50_ms=at(50), p99_ms=at(99), max_ms=ranked[-1] / 1000)
