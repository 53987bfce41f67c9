"""What clients were told, held against the usage log, request by request.

Both sides are read on as they grow, and an id is let go of once both have said what they had to say of it. So what is
left at the end is what somebody kept quiet about, and the memory this takes does not grow with the run.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from entrepot.core.log_records import Abandoned, Admitted, LogRecord, UsageRecorded


@dataclass(slots=True)
class Entry:
    """One request. told: what its client was told; the others: how many such records the log holds of it."""

    told: str = ""
    admitted: int = 0
    settled: int = 0
    abandoned: int = 0
    served: bool = False  # Its usage has meters.

    @property
    def is_even(self) -> bool:
        """Whether both sides have said all, and the same: an answer was settled once; anything else ended once."""
        if self.told == "answered":
            return (self.settled, self.abandoned) == (1, 0) and self.admitted > 0 and self.served
        return self.told != "" and self.settled + self.abandoned == 1 and self.admitted > 0


@dataclass(slots=True)
class Books:
    """All requests that are not even yet. even: {what clients were told: requests that were metered exactly once}."""

    open: dict[str, Entry] = field(default_factory=dict)
    even: Counter[str] = field(default_factory=Counter)

    def told(self, lines: Iterable[str], *, as_asked: bool = False) -> None:
        """Takes in what clients were told: an id and a word a line. as_asked: an answer is the error asked for."""
        for line in lines:
            request_id, _, word = line.partition(" ")
            if as_asked and word == "answered":
                word = "refused"
            entry = self.open.setdefault(request_id, Entry())
            entry.told = "told twice" if entry.told else word
            self._let_go(request_id, entry)

    def recorded(self, records: Iterable[LogRecord]) -> None:
        """Takes in what the log holds."""
        for record in records:
            if isinstance(record, Admitted):
                self.open.setdefault(record.id, Entry()).admitted += 1
            elif isinstance(record, UsageRecorded):
                entry = self.open.setdefault(record.event.id, Entry())
                entry.settled += 1
                entry.served = bool(record.event.meters)
                self._let_go(record.event.id, entry)
            elif isinstance(record, Abandoned):
                entry = self.open.setdefault(record.id, Entry())
                entry.abandoned += 1
                self._let_go(record.id, entry)

    def _let_go(self, request_id: str, entry: Entry) -> None:
        if entry.is_even:
            self.even[entry.told] += 1
            del self.open[request_id]

    def faults(self) -> list[str]:
        """What is not even, in sentences; to be asked once everything has ended and was taken in."""
        counted = Counter(_fault(entry) for entry in self.open.values())
        return [f"{count} requests {text}" for text, count in sorted(counted.items())]


def _fault(entry: Entry) -> str:
    endings = f"{entry.settled} times settled, {entry.abandoned} times abandoned"
    if not entry.told:
        return f"of which no client heard are in the log ({endings})"
    return f"whose clients were told {entry.told!r} are in the log {entry.admitted} times admitted, {endings}"


@dataclass(slots=True)
class Tail:
    """A file that is read on from where the last look ended, whole lines only."""

    path: Path
    _read: int = 0

    def lines(self) -> list[str]:
        """The whole lines that are new."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._read += end
        return data[:end].decode().splitlines()
