"""A usage log in a list, to append to and to read from."""

from collections.abc import Iterator, Sequence

from entrepot.core.log_records import LogRecord
from entrepot.ports.event_log import Position


class MemoryLog:
    """Meets the ports EventLog and LogReader; a record's position is how many there are up to it."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []

    def append(self, records: Sequence[LogRecord]) -> None:
        self.records.extend(records)

    def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
        for number in range(after.offset, min(len(self.records), after.offset + limit)):
            yield Position(1, number + 1), self.records[number]


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int) -> None:
        self.at = now

    def now(self) -> int:
        return self.at
