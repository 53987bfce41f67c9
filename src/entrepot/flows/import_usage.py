"""Bringing in usage that was metered elsewhere: files of usage records, and published traces.

Rows become events, events become records of the log, a batch at a time; the fold decides what is new. What cannot be
used is handed back row by row, and everything else is kept.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from entrepot.core.errors import BadInput
from entrepot.core.log_records import UsageRecorded
from entrepot.core.usage_event import UsageEvent
from entrepot.metering.trace_usage import Placing, TraceBooking
from entrepot.metering.usage_file import parse_rows
from entrepot.ports.event_log import EventLog
from entrepot.ports.usage_rows import RowFault, TraceRows, UsageRows

APPENDED_AT_ONCE = 5000  # Records that share one flush; about a megabyte.


class Imported(msgspec.Struct):
    """How far an import came. appended: records that are in the log. broken: why the file ended before its end."""

    read: int = 0
    appended: int = 0
    rejected: int = 0
    broken: str | None = None


class Importing(NamedTuple):
    """What an import works with. reject is handed each row that cannot be used, progress the count so far."""

    log: EventLog
    reject: Callable[[RowFault], None]
    progress: Callable[[Imported], None]


class _Step(NamedTuple):
    read: int
    events: list[UsageEvent]
    faults: list[RowFault]


def import_records(rows: UsageRows, work: Importing) -> Imported:
    """What came of a file of usage records. Idempotent by the records' ids. Raises: UsageLogUnavailable."""

    def steps() -> Iterator[_Step]:
        for batch in rows.batches():
            parsed = parse_rows(batch)
            yield _Step(len(parsed.events) + len(parsed.faults), parsed.events, parsed.faults)

    return _append(steps(), work)


def import_trace(rows: TraceRows, placing: Placing, work: Importing, *, after: TraceRows | None = None) -> Imported:
    """What came of a trace. Idempotent by the rows' content; after: the part of the trace that comes just before.

    Raises: UsageLogUnavailable; BadInput when the part before cannot be read.
    """
    booking = TraceBooking(placing)
    for batch in after.batches() if after is not None else ():
        booking.after(batch)

    def steps() -> Iterator[_Step]:
        for batch in rows.batches():
            booked = booking.book(batch)
            yield _Step(len(batch.rows) + len(batch.faults), booked.events, booked.faults)

    return _append(steps(), work)


def _append(steps: Iterable[_Step], work: Importing) -> Imported:
    done, held = Imported(), list[UsageRecorded]()
    try:
        for step in steps:
            done.read += step.read
            done.rejected += len(step.faults)
            for fault in sorted(step.faults, key=lambda fault: fault.line):
                work.reject(fault)
            held += map(UsageRecorded, step.events)
            while len(held) >= APPENDED_AT_ONCE:
                _flush(held[:APPENDED_AT_ONCE], work, done)
                del held[:APPENDED_AT_ONCE]
    except BadInput as error:
        if not done.read:
            raise
        done.broken = error.message  # What came before the break is good, and is kept.
    if held:
        _flush(held, work, done)
    return done


def _flush(records: list[UsageRecorded], work: Importing, done: Imported) -> None:
    work.log.append(records)
    done.appended += len(records)
    work.progress(done)
