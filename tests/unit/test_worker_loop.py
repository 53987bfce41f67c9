"""The worker's loop: what it folds, resolves and marks, and when it leaves the log alone."""

from collections.abc import Iterator, Sequence
from functools import partialmethod

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.compose.worker import keep_folding
from entrepot.core.errors import UsageLogUnavailable
from entrepot.core.log_records import InstanceLost, LogRecord, Marked
from entrepot.core.periods import DAY, HOUR, MINUTE, Instant, hour_of
from entrepot.ports.event_log import Position
from entrepot.workers import Fold
from tests.support.billing import APRIL, MARCH, ListLog, admitted, applied, prices, recorded, usage, version, world
from tests.support.budgets import KeptStandings

WORLD = world(version(prices(("m", "input_tokens", "0.15"), ("m", "output_tokens", "0.6"))))


class SteppingClock:
    """A clock that moves by a step each time it is asked."""

    def __init__(self, at: Instant, step: Instant) -> None:
        self._at, self._step = at, step

    def now(self) -> Instant:
        """See ports.clock."""
        self._at += self._step
        return self._at


class Silent:
    """No upstream that answers."""

    def served(self, upstream: object, request_id: str) -> None:
        """See ports.upstream_usage."""


class PausingLog(ListLog):
    """A log that cannot be written at first."""

    def __init__(self, records: Sequence[LogRecord], failures: int) -> None:
        super().__init__(records)
        self._failures = failures

    def append(self, records: Sequence[LogRecord]) -> None:
        """See ports.event_log."""
        if self._failures:
            self._failures -= 1
            raise UsageLogUnavailable("not now")
        super().append(records)


def pauses(count: int) -> Iterator[bool]:
    yield from [False] * count
    yield True


def test_the_worker_folds_resolves_and_marks_until_it_is_stopped() -> None:
    """Given a lost request and a log that is down once, when the worker runs, then all is settled and accrued."""
    log = PausingLog([applied(WORLD), admitted("a"), InstanceLost(instance="one", at=MARCH + 5)], failures=1)
    books = open_books(":memory:")
    stop = pauses(8)
    waits: list[float] = []

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        return next(stop)

    keep_folding(books, log, log, Silent(), SteppingClock(MARCH + 2 * HOUR, MINUTE), pause, KeptStandings(), print)
    assert books.oldest_open() is None
    assert [event.source for event in books.events(0, APRIL)] == ["estimated"]
    assert books.watermark() > MARCH + 2 * HOUR
    assert 0.0 in waits
    assert max(waits) > 0


def test_requests_that_never_cease_leave_the_worker_time_to_resolve_and_to_mark() -> None:
    """At each look there is more in the log, as with some hundred requests a second."""

    class Growing(ListLog):
        def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
            self.append(recorded(usage(f"another-{len(self.records)}")))
            return super().read(after, limit)

    log = Growing([applied(WORLD), admitted("a"), InstanceLost(instance="one", at=MARCH + 5)])
    books = open_books(":memory:")
    stop = pauses(8)
    standings = KeptStandings()
    clock = SteppingClock(MARCH + 2 * HOUR, MINUTE)
    keep_folding(books, log, log, Silent(), clock, lambda _: next(stop), standings, print)
    assert books.watermark() > MARCH + 2 * HOUR
    assert ("a", "estimated") in [(event.id, event.source) for event in books.events(0, APRIL)]
    assert standings.published[-1].through > MARCH + 2 * HOUR


def test_what_stands_behind_a_mark_is_folded_before_anything_is_resolved() -> None:
    """A mark is folded by itself, so that this is not the end of the log."""
    log = ListLog([applied(WORLD), admitted("a"), InstanceLost(instance="one", at=MARCH + 5), Marked(at=MARCH + 6)])
    log.append(recorded(usage("a")))
    stop = pauses(8)
    clock = SteppingClock(MARCH + 2 * HOUR, MINUTE)
    books = open_books(":memory:")
    keep_folding(books, log, log, Silent(), clock, lambda _: next(stop), KeptStandings(), print)
    assert [one.source for one in books.events(0, APRIL)] == ["reported"]
    assert not books.quarantined()


def test_a_worker_that_cannot_read_all_of_the_log_appends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a request that is settled further on is settled again, with other content (simulated life 112)."""
    monkeypatch.setattr(Fold, "step", partialmethod(Fold.step, limit=3))

    class Unreadable(ListLog):
        def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
            if after > Position():
                raise UsageLogUnavailable("not now")
            return super().read(after, limit)

    log = Unreadable([applied(WORLD), admitted("a"), InstanceLost(instance="one", at=MARCH + 5)])
    waits: list[float] = []

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 5

    clock = SteppingClock(MARCH + 2 * HOUR, MINUTE)
    keep_folding(open_books(":memory:"), log, log, Silent(), clock, pause, KeptStandings(), print)
    assert len(log.records) == 3
    assert waits[0] == 0
    assert min(waits[1:]) > 0


class SetClock:
    """A clock that goes on by five minutes each time it is asked, and is set as it is told: {how often asked: by}."""

    def __init__(self, at: Instant, sets: dict[int, Instant]) -> None:
        self._at, self._sets, self._asked = at, sets, 0

    def now(self) -> Instant:
        """See ports.clock."""
        self._asked += 1
        self._at += 5 * MINUTE + self._sets.get(self._asked, 0)
        return self._at


def marks_by(clock: SetClock) -> list[Instant]:
    log = ListLog([applied(WORLD)])
    stop = pauses(60)
    keep_folding(open_books(":memory:"), log, log, Silent(), clock, lambda _: next(stop), KeptStandings(), print)
    return [record.at for record in log.records if isinstance(record, Marked)]


def test_a_clock_that_leaps_ahead_for_a_while_marks_nothing_there() -> None:
    """All hours until then would be complete: provisioned units of seventy years are counted in one go."""
    leap = 70 * 365 * DAY
    marks = marks_by(SetClock(MARCH, {20: leap, 28: -leap}))
    assert max(marks) < MARCH + 2 * DAY
    assert max(marks) > MARCH + 4 * HOUR  # It went on behind the leap.


def test_a_clock_that_leaps_a_second_time_has_to_stay_there_for_an_hour_again() -> None:
    leap = 70 * 365 * DAY
    marks = marks_by(SetClock(MARCH, {20: 2 * DAY, 24: leap, 28: -leap - 2 * DAY}))
    assert MARCH + 4 * HOUR < max(marks) < MARCH + 2 * DAY


def test_a_clock_that_stays_ahead_is_believed_after_an_hour() -> None:
    """As when the worker was down for a month, or a machine began with the year 1970."""
    marks = marks_by(SetClock(MARCH, {20: 30 * DAY}))
    first = next(at for at in marks if at > MARCH + 30 * DAY)
    assert all(at < MARCH + 4 * HOUR for at in marks[: marks.index(first)])
    assert first >= MARCH + 30 * DAY + HOUR


def test_the_worker_marks_at_its_start_and_then_each_hour() -> None:
    log = ListLog([applied(WORLD)])
    stop = pauses(40)
    clock = SteppingClock(MARCH, 5 * MINUTE)
    keep_folding(open_books(":memory:"), log, log, Silent(), clock, lambda _: next(stop), KeptStandings(), print)
    marks = [record.at for record in log.records if isinstance(record, Marked)]
    hours = [hour_of(at) for at in marks]
    assert len(marks) >= 3
    assert hours == sorted(set(hours))
