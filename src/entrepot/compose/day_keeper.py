"""Holds log, store, readings, ledger and invoices against each other: for a command, and day by day in the worker."""

import secrets
from collections.abc import Callable, Collection
from typing import Protocol

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.metric_files import MetricFiles
from entrepot.compose.books import Report, open_books, open_current_books, open_log, open_log_of_process
from entrepot.compose.complaints import Fault
from entrepot.compose.settings import Settings
from entrepot.compose.usage_log import open_log_reader
from entrepot.core.errors import NO_WORLD, BadInput
from entrepot.core.log_records import Reconciled
from entrepot.core.metrics import Metric, alone
from entrepot.core.metrics import Report as Counts
from entrepot.core.periods import SECOND, Instant, Period
from entrepot.core.world import index_of
from entrepot.flows.reconcile_books import FiveWays, bounds_of, due_day, reconcile_hours, record_of
from entrepot.metering.log_count import LogDays
from entrepot.ports.books import Books
from entrepot.ports.event_log import EventLog

INCIDENTS = Metric(
    "entrepot_reconciliation_incidents", "gauge", "Days on which log, store, readings, ledger and invoices disagree."
)
RECONCILED = Metric(
    "entrepot_reconciled_until_seconds",
    "gauge",
    "The end of the last day that was reconciled, since 1970.",
    unit="s",
    joined="max",
)
_LOOK_EVERY_S = 60.0
_NAME_BITS = 32


class Stop(Protocol):
    """What tells that the process is to end."""

    def wait(self, timeout: float) -> bool:
        """Whether it is to end, after at most so many seconds."""
        ...


def reconcile_now(
    settings: Settings, since: Instant, until: Instant, month: Period | None, *, keep: bool, report: Report
) -> FiveWays:
    """What of the hours of [since, until), or of the month, does not agree. keep: the log gets what came of it.

    Raises: BadInput, LogDamaged, UsageLogUnavailable.
    """
    with open_current_books(settings, report) as books:
        if month is not None:
            terms = index_of(books.worlds())
            since, until = bounds_of(terms, month) if terms is not None else (since, until)
        found = _reconcile(days_of(settings), books, since, until, month, report)
        if keep:
            with open_log(settings) as log:
                log.append([record_of(found, since, until, SystemClock().now())])
    if keep:
        with open_current_books(settings, report):  # So that whoever looks next sees it.
            pass
    return found


def keep_reconciling(settings: Settings, stop: Stop, complain: Callable[[str], None]) -> None:
    """Looks every minute whether a day is complete, and reconciles it, until told to stop.

    complain: told what keeps it from doing so (a full disk, a damaged log), whatever that is; it tries again.
    """
    board, days = None, days_of(settings)
    fault = Fault(complain, "day_not_reconciled", Exception)
    while not stop.wait(_LOOK_EVERY_S):
        with fault.told():
            board = board or MetricFiles(settings.metrics_directory, f"worker-{secrets.randbits(_NAME_BITS):08x}")
            with open_log_of_process(settings) as log:
                reconcile_due_days(settings, days, log, board.publish)
            fault.over()


def reconcile_due_days(settings: Settings, days: LogDays, log: EventLog, publish: Callable[[Counts], object]) -> None:
    """Reconciles each day that is complete and was not reconciled, and tells what came of all of them so far."""
    with open_books(settings) as books:
        due = due_day(books)
        known = {(record.since, record.until): record for record in books.reconciliations()}
        while due is not None:
            found = _reconcile(days, books, *due, None, lambda _: None)
            record = record_of(found, *due, SystemClock().now())
            log.append([record])
            known[due] = record
            due = due_day(books, after=due[1])
        publish(counts_of(known.values()))


def counts_of(records: Collection[Reconciled]) -> Counts:
    """The metrics of what came of reconciliations."""
    until = [record.until for record in records]
    incidents = sum(bool(record.faults) for record in records)
    return alone(INCIDENTS, incidents), alone(RECONCILED, max(until, default=0) // SECOND)


def days_of(settings: Settings) -> LogDays:
    """The days of the log, none of them counted yet."""
    return LogDays(open_log_reader(settings.home))


def _reconcile(
    days: LogDays, books: Books, since: Instant, until: Instant, month: Period | None, report: Report
) -> FiveWays:
    terms = index_of(books.worlds())
    if terms is None:
        raise BadInput(NO_WORLD)
    return reconcile_hours(books, terms, days, since, until, month=month, progress=report)
