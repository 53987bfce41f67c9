"""Usage events, unique by id for ever, and which of them are behind a reading."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import json

from entrepot.adapters.sql.database import Row, parts
from entrepot.adapters.sql.packing import pack_id
from entrepot.adapters.sql.store import Store
from entrepot.core.charges import Series
from entrepot.core.periods import END_OF_TIME, HOUR, Instant
from entrepot.core.usage_event import UsageEvent
from entrepot.ports.books import MeteredUsage, UsageCounts

_EVENT = "id, series, admitted_at, body"
_INSERT = f"INSERT OR IGNORE INTO usage_event ({_EVENT}) VALUES "
_COUNT_EQUAL = (
    "SELECT count(*) FROM (VALUES ",
    ") CROSS JOIN usage_event ON id = column1 AND series = column2 AND admitted_at = column3 AND body = column4",
)
_ID_TEXT = "CASE typeof(id) WHEN 'blob' THEN lower(hex(id)) ELSE id END"

_WITHIN = (
    "admitted_at >= ? AND admitted_at < ? AND series IN (SELECT no FROM series WHERE customer = coalesce(?, customer))"
)

# The groups of some series in hours from ?2 back to ?3, which is left out: looked for hour by hour, the newest first,
# so that it costs as much as there are hours to go back, whatever other series have in them.
_GROUPS = """
WITH RECURSIVE began (at) AS (
    SELECT max(hour) FROM reading_events WHERE hour <= ?2
    UNION ALL SELECT (SELECT max(hour) FROM reading_events WHERE hour < at AND hour > ?3) FROM began WHERE at NOT NULL
)
SELECT first_seq, later, hour FROM began CROSS JOIN json_each(?1) AS wanted CROSS JOIN reading_events
ON hour = at AND series = wanted.value
"""

# {(series number, hour): seqs in order}
_Groups = dict[tuple[int, Instant], list[int]]


class UsageEvents(Store):
    """The event part of the books."""

    def insert_events(self, events: Sequence[MeteredUsage]) -> tuple[list[MeteredUsage], list[UsageEvent]]:
        """See ports.books. All are offered to the table at once; only when it refuses some are they told apart.

        A log that is folded again is all repeats; they are recognised inside the database.
        """
        flat = self._packer.pack(events)
        if self._is_repeat(flat):
            self._count_repeats(len(events))
            return [], []
        before = self._last_seq()
        if self._database.insert_many(_INSERT, flat, columns=4) == len(events):
            self._remember_groups(flat[1::4], events, before)
            return list(events), []
        rows = [tuple(flat[start : start + 4]) for start in range(0, len(flat), 4)]
        return self._told_apart(events, rows, before)

    def _is_repeat(self, flat: Sequence[Any]) -> bool:
        """Whether every row is there, equal. Asked only when the first id is known, which new usage seldom is."""
        first = "SELECT 1 FROM usage_event WHERE id = ?"
        if not flat or self._database.one(first, (flat[0],)) is None:
            return False
        return self._database.count_many(*_COUNT_EQUAL, flat, columns=4) * 4 == len(flat)

    def _told_apart(
        self, events: Sequence[MeteredUsage], rows: Sequence[Row], before: int
    ) -> tuple[list[MeteredUsage], list[UsageEvent]]:
        added = {row[0] for row in self._database.rows("SELECT id FROM usage_event WHERE seq > ?", (before,))}
        new, numbers, known = [], [], []
        for usage, row in zip(events, rows, strict=True):
            if row[0] in added:
                added.remove(row[0])
                new.append(usage)
                numbers.append(row[1])
            else:
                known.append((usage, row))
        self._remember_groups(numbers, new, before)
        stored = self._stored(row[0] for _, row in known)
        same = self._packer.same_content
        conflicts = [usage.event for usage, row in known if not same(row, stored[row[0]])]
        self._count_repeats(len(known) - len(conflicts))
        return new, conflicts

    def _stored(self, ids: Iterable[str | bytes]) -> dict[str | bytes, Row]:
        found: dict[str | bytes, Row] = {}
        for part in parts(list(dict.fromkeys(ids))):
            marks = ", ".join("?" * len(part))
            for row in self._database.all(f"SELECT {_EVENT} FROM usage_event WHERE id IN ({marks})", part):
                found[row[0]] = row
        return found

    def _remember_groups(self, numbers: Sequence[int], events: Sequence[MeteredUsage], before: int) -> None:
        """Writes down which readings the new events are behind. numbers: of their series."""
        groups: _Groups = defaultdict(list)
        hours = [usage.hour for usage in events]
        for seq, key in enumerate(zip(numbers, hours, strict=True), start=before + 1):
            groups[key].append(seq)
        self._database.execute_many(
            "INSERT INTO reading_events (series, hour, first_seq, last_seq, later) VALUES (?, ?, ?, ?, ?)",
            ((series, hour, seqs[0], seqs[-1], _later(seqs)) for (series, hour), seqs in groups.items()),
        )

    def _last_seq(self) -> int:
        row = self._database.one("SELECT max(seq) FROM usage_event")
        return row[0] if row and row[0] else 0

    def _count_repeats(self, repeats: int) -> None:
        self._database.execute(
            "INSERT INTO state VALUES ('repeats', ?1) ON CONFLICT DO UPDATE SET value = value + ?1", (repeats,)
        )

    def repeats(self) -> int:
        """See ports.books."""
        row = self._database.one("SELECT value FROM state WHERE name = 'repeats'")
        return row[0] if row else 0

    def is_known(self, event_id: str) -> bool:
        """Whether usage of this id was recorded, booked or not."""
        return (
            self._database.one("SELECT 1 FROM usage_event WHERE id = ?", (pack_id(event_id),)) is not None
            or self._database.one("SELECT 1 FROM quarantine WHERE id = ?", (event_id,)) is not None
        )

    def latest_admission(self, customer: str | None = None, book: str | None = None) -> Instant | None:
        """See ports.books."""
        whose, given = ("true", ()) if customer is None else ("customer = ?", (customer,))
        rows = self._database.all(f"SELECT no, price_version FROM series WHERE {whose}", given)
        numbers = [number for number, price_version in rows if book in (None, price_version.rpartition("@")[0])]
        wanted = json.encode(numbers).decode()
        last = self._database.one(f"{_GROUPS} LIMIT 1", (wanted, END_OF_TIME, -1)) if numbers else None
        if last is None:
            return None
        # An hour that a month cuts begins later in one contract than in another: all within the hour may hold the last.
        groups = self._database.all(_GROUPS, (wanted, last[2], last[2] - HOUR))
        seqs = json.encode(list(seqs_of((first, later) for first, later, _ in groups))).decode()
        latest = self._database.one(
            "SELECT max(admitted_at) FROM usage_event WHERE seq IN (SELECT value FROM json_each(?))", (seqs,)
        )
        return latest[0] if latest else None

    def usage_counts(self) -> UsageCounts:
        """See ports.books. seq has no gaps, so its greatest is the number of events."""
        kinds = self._database.all("SELECT kind, count(*) FROM quarantine GROUP BY kind")
        return UsageCounts(booked=self._last_seq(), repeats=self.repeats(), quarantined=dict(kinds))

    def booked_events(self, since: Instant, until: Instant) -> Iterator[tuple[Series, UsageEvent]]:
        """See ports.books."""
        span = self._span(since, until, None)
        series_of = self._packer.series.key
        for row in self._database.rows(
            f"SELECT {_EVENT} FROM usage_event WHERE seq BETWEEN ? AND ? AND admitted_at >= ? AND admitted_at < ?",
            (*span, since, until),
        ):
            yield series_of(row[1]), self._packer.unpack(row)

    def events(self, since: Instant, until: Instant, customer: str | None = None) -> Iterator[UsageEvent]:
        """See ports.books."""
        span = self._span(since, until, customer)
        for row in self._database.rows(
            f"SELECT {_EVENT} FROM usage_event WHERE seq BETWEEN ? AND ? AND {_WITHIN} ORDER BY {_ID_TEXT}",
            (*span, since, until, customer),
        ):
            yield self._packer.unpack(row)

    def _span(self, since: Instant, until: Instant, customer: str | None) -> tuple[int, int]:
        """(first, last) seq between which all events admitted in [since, until) lie."""
        span = self._database.one(
            "SELECT min(first_seq), max(last_seq) FROM reading_events CROSS JOIN series ON no = series "
            "WHERE hour > ? AND hour < ? AND (?3 IS NULL OR customer = ?3)",
            (since - HOUR, until, customer),
        )
        return (span[0], span[1]) if span and span[0] is not None else (0, -1)

    def newest_events(
        self, limit: int, since: Instant = 0, until: Instant = END_OF_TIME, customer: str | None = None
    ) -> list[UsageEvent]:
        """See ports.books."""
        rows = self._database.all(
            f"SELECT {_EVENT} FROM usage_event WHERE {_WITHIN} ORDER BY seq DESC LIMIT ?",
            (since, until, customer, limit),
        )
        return [self._packer.unpack(row) for row in rows]

    def _behind(self, series: int, hour: Instant, after_seq: int, through_seq: int) -> Iterator[UsageEvent]:
        """The events of a series and hour that were folded after one event and up to another, in that order.

        Both are the last of what was inserted together, so that no run of events lies on both sides.
        """
        groups = self._database.all(
            "SELECT first_seq, later FROM reading_events WHERE series = ? AND hour = ? "
            "AND first_seq > ? AND first_seq <= ? ORDER BY first_seq",
            (series, hour, after_seq, through_seq),
        )
        return self._of_seqs(seqs_of(groups))

    def _of_seqs(self, seqs: Iterator[int]) -> Iterator[UsageEvent]:
        for part in parts(list(seqs)):
            marks = ", ".join("?" * len(part))
            for row in self._database.all(
                f"SELECT {_EVENT} FROM usage_event WHERE seq IN ({marks}) ORDER BY seq", part
            ):
                yield self._packer.unpack(row)


def _later(seqs: Sequence[int]) -> bytes:
    """The seqs after the first, as distances from it."""
    first = seqs[0]
    return struct.pack(f"<{len(seqs) - 1}I", *(seq - first for seq in seqs[1:]))


def seqs_of(groups: Iterable[Row]) -> Iterator[int]:
    """The seqs of rows of (first_seq, later)."""
    for first, later in groups:
        yield first
        for (distance,) in struct.iter_unpack("<I", later):
            yield first + distance
