"""The usage log: durable, ordered, append-only; the one truth."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from entrepot.core.log_counters import LogCounters
from entrepot.core.log_records import LogRecord


class Position(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
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


class GroupLog(Protocol):
    """Appending what many callers sent, for the log process: frames of core.segments, already encoded."""

    @property
    def counters(self) -> LogCounters:
        """What has been done so far."""
        ...

    def commit(self, frames: Sequence[bytes | memoryview], records: int) -> None:
        """All frames durable, in order and adjacent, once this returns; after an error none of them count.

        Tries to begin a new segment first if the last one had to be given up. Raises: UsageLogUnavailable.
        """
        ...

    def reopen(self) -> None:
        """Ready for commit once this returns; does nothing when it is. Raises: UsageLogUnavailable."""
        ...

    def close(self) -> None:
        """Ends the segment with its seal and lets go of the log."""
        ...


class LiveInstances(Protocol):
    """Which gateway instances are connected to the log process; outlives it."""

    def load(self) -> list[str]:
        """The instances last saved; none at first. Raises: LogDamaged."""
        ...

    def save(self, instances: Collection[str]) -> None:
        """Durable, in place of what was saved before, once this returns. Raises: OSError; then either may be found."""
        ...


class KeepsFrames(Protocol):
    """A gateway's unacknowledged frames, in memory that outlives it."""

    def add(self, frame: bytes) -> bool:
        """Whether the frame is kept; there is no room while too much waits for the log."""
        ...

    def drop(self, size: int) -> None:
        """Lets go of the oldest bytes: their frames are durable, or need not be."""
        ...


class LeftBehind(Protocol):
    """What gateways that are gone had kept."""

    def instances(self) -> list[str]:
        """The instances, living or gone, that keep frames."""
        ...

    def take(self, instance: str) -> bytes | None:
        """The frames a gateway that is gone left behind, b"" when none; None while it lives."""
        ...

    def remove(self, instance: str) -> None:
        """Forgets them: they are durable."""
        ...


class LogReader(Protocol):
    """Reading, from any process, while others append."""

    def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
        """Up to limit durable records after the position, each with the position behind it.

        Fewer than limit end with the last record known to be durable.
        Raises: LogDamaged; UsageLogUnavailable when it cannot be told now how far that is.
        """
        ...


class CheckedLog(msgspec.Struct, frozen=True):
    """What a whole log holds. seal: the end of the chain of seals in hex; it vouches for every byte before."""

    segments: int
    records: int
    size_bytes: int
    seal: str


class LogPrefix(msgspec.Struct, frozen=True):
    """A first part of a log: what is in it, and how many bytes of its last segment are."""

    holds: CheckedLog
    length: int


NO_PREFIX = LogPrefix(CheckedLog(segments=0, records=0, size_bytes=0, seal=bytes(32).hex()), 0)


class Settling(Protocol):
    """Who waits for a record to be safe. Hears one of these, from the event loop."""

    def settled(self) -> None:
        """It is: durable, or, where the provider chose so, kept where no killed process can lose it."""
        ...

    def not_settled(self) -> None:
        """It cannot be made so now, and is owed."""
        ...


class Told(NamedTuple):
    """One that waits, as two functions."""

    settled: Callable[[], None]
    not_settled: Callable[[], None]


class UsageSink(Protocol):
    """Appending, for the gateway's event loop, which never waits."""

    def append(self, record: LogRecord) -> None:
        """Goes into the log before any record that is settled later, and soon in any case; nothing is reported back."""
        ...

    def settle(self, record: LogRecord, waiter: Settling) -> None:
        """Tells the waiter when the record is safe, or that it cannot be made so now; then it is owed."""
        ...

    @property
    def owed(self) -> int:
        """How many records failed and wait for the log to take them after all; nobody need do anything."""
        ...

    @property
    def available(self) -> bool:
        """Whether usage can be made durable now; when not, nothing may be served."""
        ...

    @property
    def answers(self) -> bool:
        """Whether the log has said lately what became of what was given to it; of nothing given, it has."""
        ...
