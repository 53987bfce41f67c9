"""The part of the books that reconciling works with: what partners report, what is counted, what came of comparing."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from entrepot.core.charges import Reading, Series
from entrepot.core.journal import JournalEntry
from entrepot.core.log_records import AttemptEnded, PartnerReported, Reconciled
from entrepot.core.partner_usage import ReportedKind, ReportedRow
from entrepot.core.periods import Instant
from entrepot.core.usage_event import UsageEvent


class CountedReading(NamedTuple):
    """A reading with how much of it is posted and how much invoiced."""

    series: Series
    meter: str
    hour: Instant
    quantity: int
    posted: int
    invoiced: int


class CountStore(Protocol):
    """What partners say they served and charge for (of each cell, what was said last), and counts to compare."""

    def book_compared(self, record: PartnerReported | Reconciled) -> None:
        """Keeps what a partner says, or what came of a reconciliation.

        A report replaces what was said of its cells; the same part of the same file again changes nothing. Of
        reconciliations the newest of the same hours counts.
        """
        ...

    def has_report(self, partner: str, digest: str, part: int) -> bool:
        """Whether the part of the file is booked."""
        ...

    def reported(self, partner: str, since: Instant, until: Instant) -> list[ReportedRow]:
        """What a partner says of days that start in [since, until), by cell."""
        ...

    def reported_days(self, partner: str, since: Instant, until: Instant) -> list[tuple[Instant, ReportedKind]]:
        """The days of which it says something, or says that there was nothing."""
        ...

    def booked_events(self, since: Instant, until: Instant) -> Iterator[tuple[Series, UsageEvent]]:
        """Usage events admitted in [since, until) with what they are counted in, in no order that means anything."""
        ...

    def ended_attempts(self, since: Instant, until: Instant) -> Iterator[tuple[Series | None, AttemptEnded]]:
        """(what its request is counted in, attempt) of attempts that began in [since, until) and gave no answer.

        Only those whose usage was reported, then or afterwards. None while no usage of the request is booked.
        """
        ...

    def served_tiers(self, since: Instant, until: Instant) -> dict[str, str]:
        """{event: tier} of requests admitted in [since, until) that an upstream served at another than it was asked."""
        ...

    def counted_readings(self, since: Instant, until: Instant) -> Iterator[CountedReading]:
        """Readings of hours that start in [since, until), by (contract, hour, series, meter)."""
        ...

    def invoiced_readings(self, since: Instant, until: Instant) -> Iterator[Reading]:
        """What lines of issued invoices took of readings of those hours, summed over lines, in no telling order."""
        ...

    def usage_entries(self, since: Instant, until: Instant) -> Iterator[JournalEntry]:
        """Journal entries that accrue hours that start in [since, until), in the order of the journal."""
        ...

    def reconciliations(self) -> list[Reconciled]:
        """What came of reconciliations, by their hours."""
        ...
