"""What was used in a span of time: found by the hour, so that it costs as much as the span holds, not the books."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import json

from entrepot.adapters.sql.packing import SERIES_COLUMNS
from entrepot.adapters.sql.usage_events import UsageEvents, seqs_of
from entrepot.core.charges import Series
from entrepot.core.periods import MINUTE, Instant, hour_of
from entrepot.core.usage_event import UsageEvent
from entrepot.ports.usage_windows import BucketUsage

# Up to so many series are looked up hour by hour; of more, everything in the span is read and the others left aside.
LOOKED_UP_MAX = 64

# A month begins at a quarter of an hour in some zones, and there a reading begins, too.
_QUARTER = 15 * MINUTE
_LOOKED_UP = """
WITH RECURSIVE quarter (at) AS (SELECT ?1 UNION ALL SELECT at + {quarter} FROM quarter WHERE at + {quarter} < ?2)
SELECT {columns} FROM quarter CROSS JOIN json_each(?3) AS wanted CROSS JOIN {table}
ON {table}.hour = quarter.at AND {table}.series = wanted.value {rest}
"""
_SCANNED = """
SELECT {columns} FROM {table} WHERE hour >= ?1 AND hour < ?2 AND series IN (SELECT value FROM json_each(?3)) {rest}
"""
_BUCKET = "(hour - hour % {width})"


class UsageWindows(UsageEvents):
    """The part of the books that tells of spans of time."""

    def usage_by_bucket(
        self, since: Instant, until: Instant, width: Instant, wanted: Callable[[Series], bool]
    ) -> Iterator[BucketUsage]:
        """See ports.usage_windows."""
        numbers = self._wanted(wanted)
        bucket = _BUCKET.format(width=width)
        counts = {
            (series, begins): count
            for series, begins, count in self._window(
                "reading_events",
                f"series, {bucket}, sum(1 + length(later) / 4)",
                "GROUP BY 2, 1",
                (since, until, numbers),
            )
        }
        meters: dict[str, int] = {}
        current: tuple[int, Instant] | None = None
        rows = self._window(
            "reading",
            f"{bucket}, series, meter, sum(quantity)",
            "GROUP BY 1, 2, 3 ORDER BY 1, 2",
            (since, until, numbers),
        )
        for begins, series, meter, quantity in rows:
            if current is not None and current != (series, begins):
                yield self._bucket(current, meters, counts)
                meters = {}
            current = (series, begins)
            meters[meter] = quantity
        if current is not None:
            yield self._bucket(current, meters, counts)

    def events_in(
        self, since: Instant, until: Instant, wanted: Callable[[Series], bool]
    ) -> Iterator[tuple[Series, UsageEvent]]:
        """See ports.usage_windows."""
        span = (hour_of(since), until, self._wanted(wanted))
        for series, first, later in self._window("reading_events", "series, first_seq, later", "", span):
            for event in self._of_seqs(seqs_of([(first, later)])):
                if since <= event.admitted_at < until:
                    yield self._packer.series.key(series), event

    def _bucket(
        self, of: tuple[int, Instant], meters: dict[str, int], counts: dict[tuple[int, Instant], int]
    ) -> BucketUsage:
        series, begins = of
        return BucketUsage(self._packer.series.key(series), begins, meters, counts.get(of, 0))

    def _wanted(self, wanted: Callable[[Series], bool]) -> list[int]:
        rows = self._database.all(f"SELECT no, {SERIES_COLUMNS} FROM series")
        return [number for number, *columns in rows if wanted(Series(*columns))]

    def _window(
        self, table: str, columns: str, rest: str, span: tuple[Instant, Instant, Sequence[int]]
    ) -> Iterator[tuple[Any, ...]]:
        since, until, numbers = span
        form = _LOOKED_UP if len(numbers) <= LOOKED_UP_MAX else _SCANNED
        sql = form.format(table=table, columns=columns, rest=rest, quarter=_QUARTER)
        return self._database.rows(sql, (since, until, json.encode(numbers).decode()))
