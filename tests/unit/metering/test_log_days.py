"""Days counted from the log one after another: as if each were counted alone, and without reading all of it again."""

from collections.abc import Iterator, Sequence

import pytest

from entrepot.core.log_records import LogRecord
from entrepot.core.periods import DAY, HOUR, Instant
from entrepot.core.world import World
from entrepot.metering.log_count import LogDays
from entrepot.ports.event_log import Position
from tests.support.billing import MARCH, ListLog, applied, prices, recorded, usage, version, world


class CountedLog(ListLog):
    """Counts what is read of it."""

    read_records = 0

    def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
        for item in super().read(after, limit):
            self.read_records += 1
            yield item

    @property
    def end(self) -> Position:
        return Position(0, len(self.records))


def declared(*rows: tuple[str, str, str]) -> World:
    return world(version(prices(*rows)))


def day(number: int, *, model: str = "m") -> Sequence[LogRecord]:
    """24 records of a day, the first ones once more."""
    begins = MARCH + number * DAY
    events = [usage(f"{model}-{number}-{hour}", begins + hour * HOUR, model=model) for hour in range(24)]
    return recorded(*events, *events[:5])


def bounds(number: int) -> tuple[Instant, Instant]:
    return MARCH + number * DAY, MARCH + (number + 1) * DAY


def log() -> CountedLog:
    """Four days; a model without a price until the third, whose usage of the second comes late, on the fourth."""
    late = recorded(usage("late", MARCH + DAY + HOUR), usage("m-0-1", MARCH + HOUR))
    return CountedLog(
        [
            applied(declared(("m", "input_tokens", "1"))),
            *day(0),
            *day(1),
            *day(1, model="n"),
            applied(declared(("m", "input_tokens", "1"), ("n", "input_tokens", "2")), at=MARCH + 2 * DAY),
            *day(2, model="n"),
            *day(3),
            *late,
        ]
    )


def test_each_day_is_counted_as_if_it_were_alone() -> None:
    days, found = LogDays(log()), log()
    for number in range(4):
        assert days.count(*bounds(number), found.end) == LogDays(found).count(*bounds(number), found.end)
    assert sum(LogDays(found).count(*bounds(1), found.end).values()) == 49 * 10


def test_what_earlier_days_were_counted_from_is_not_read_again() -> None:
    found = log()
    days = LogDays(found)
    days.count(*bounds(0), found.end)
    assert found.read_records == len(found.records)
    read = []
    for number in (1, 2, 3):
        before = found.read_records
        days.count(*bounds(number), found.end)
        read.append(found.read_records - before)
    first = len(found.records)
    # Less a day each time; the worlds before it are read where they stand.
    assert read == [first - 30 + 1, first - 30 - 58 - 1 + 2, first - 30 - 58 - 1 - 29 + 2]


def test_a_log_that_grows_is_read_on() -> None:
    found = CountedLog([applied(declared(("m", "input_tokens", "1"))), *day(0)])
    days = LogDays(found)
    assert len(days.count(*bounds(0), found.end)) == 24
    found.append(day(1))
    before = found.read_records
    assert len(days.count(*bounds(1), found.end)) == 24
    assert found.read_records - before == 29 + 1


@pytest.mark.parametrize("gone", ["m-3-7", "n-2-7"])
def test_what_the_log_has_lost_is_missed(gone: str) -> None:
    whole, found = log(), log()
    found.records = [item for item in found.records if gone not in repr(item)]
    number = int(gone.split("-")[1])
    days, cut = LogDays(whole), LogDays(found)
    for earlier in range(number):
        days.count(*bounds(earlier), whole.end)
        cut.count(*bounds(earlier), found.end)
    assert set(days.count(*bounds(number), whole.end)) - set(cut.count(*bounds(number), found.end)) == {
        ("acme@2024-01-01", MARCH + number * DAY + 7 * HOUR, "input_tokens")
    }


def test_an_earlier_day_is_counted_from_the_beginning() -> None:
    found = log()
    days = LogDays(found)
    late = days.count(*bounds(3), found.end)
    assert len(days.count(*bounds(0), found.end)) == 24
    assert days.count(*bounds(3), found.end) == late


def ahead(records: int, days: int = 30) -> Sequence[LogRecord]:
    """Usage of the first day that is dated some days later: by a slip, or by a clock that was wrong."""
    return recorded(*(usage(f"ahead-{number}", MARCH + days * DAY) for number in range(records)))


def test_days_before_usage_that_is_dated_far_ahead_are_not_read_from_there_on() -> None:
    world_of_it = applied(declared(("m", "input_tokens", "1")))
    found = CountedLog([world_of_it, *ahead(3), *ahead(1), *(item for number in range(20) for item in day(number))])
    days, read = LogDays(found), []
    for number in range(20):
        before = found.read_records
        assert days.count(*bounds(number), found.end) == LogDays(found).count(*bounds(number), found.end)
        read.append(found.read_records - before - len(found.records))  # The other one reads all of it.
    assert read == [len(found.records), *(29 * (20 - number) + 1 + 4 for number in range(1, 20))]
    assert sum(days.count(*bounds(30), found.end).values()) == 3 * 10


def test_usage_that_is_dated_far_ahead_is_counted_on_its_day_in_its_place() -> None:
    """Without a price until a later world; its id comes again with other content, which is a conflict and not usage."""
    again = recorded(usage("early", MARCH + 9 * DAY, meters={"input_tokens": 77}))
    found = CountedLog(
        [
            applied(declared(("m", "input_tokens", "1"))),
            *recorded(usage("early", MARCH + 9 * DAY), usage("n-early", MARCH + 9 * DAY, model="n")),
            *day(0),
            applied(declared(("m", "input_tokens", "1"), ("n", "input_tokens", "2")), at=MARCH + 2 * DAY),
            *again,
            *day(9),
        ]
    )
    days = LogDays(found)
    days.count(*bounds(0), found.end)
    days.count(*bounds(1), found.end)
    counted = days.count(*bounds(9), found.end)
    assert counted == LogDays(found).count(*bounds(9), found.end)
    assert sum(counted.values()) == (24 + 2) * 10


def test_more_of_it_than_is_held_is_read_again_and_not_forgotten() -> None:
    found = CountedLog([applied(declared(("m", "input_tokens", "1"))), *ahead(1500, 9), *day(0), *day(9)])
    days = LogDays(found)
    for number in (0, 1, 9):
        assert days.count(*bounds(number), found.end) == LogDays(found).count(*bounds(number), found.end)
    assert sum(days.count(*bounds(9), found.end).values()) == 1524 * 10
