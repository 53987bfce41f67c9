"""The usage log: durable, ordered, append-only; the one truth."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from entrepot.core.log_records import LogRecord


class Position(msgspec.Struct, frozen=True, order=True, array_like=True):
    """The place after a record: a segment's number and a byte offset in it. Position(0, 0) is before everything."""

    segment: int = 0
    offset: int = 0


START = Position()


class EventLog(Protocol):
    """Appending, for callers that can wait."""

    def append(self, records: Sequence[LogRecord]) -> None:
        """Durable, in order and adjacent once this returns; all of them or, after an error, possibly a first part.

        Appending again after an error is safe: every record carries its own id and the fold drops repeats.
        Raises: UsageLogUnavailable.
        """
        ...


class LogReader(Protocol):
    """Reading, from any process, while others append."""

    def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
        """Up to limit durable records after the position, each with the position behind it.

        Ends at the last record known to be durable; may end early at a segment's end. Raises: LogDamaged.
        """
        ...


class UsageSink(Protocol):
    """Appending, for the gateway's event loop, which never waits."""

    def append(self, record: LogRecord) -> None:
        """Rides the next group commit; nothing is reported back."""
        ...

    def settle(self, record: LogRecord, done: Callable[[], None], failed: Callable[[], None]) -> None:
        """Calls done when the record is durable, or failed when it could not be made so."""
        ...

    @property
    def available(self) -> bool:
        """Whether usage can be made durable now; when not, nothing may be served."""
        ...
