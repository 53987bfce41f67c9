"""The part of the books that keeps what partners report, and what that is held against."""

from collections.abc import Iterator
from typing import Protocol

from entrepot.core.charges import Series
from entrepot.core.log_records import AttemptEnded, PartnerReported
from entrepot.core.partner_usage import ReportedKind, ReportedRow
from entrepot.core.periods import Instant
from entrepot.core.usage_event import UsageEvent


class PartnerStore(Protocol):
    """What partners say they served and charge for: of each cell, what was said last."""

    def book_report(self, report: PartnerReported) -> None:
        """Replaces what was said of the cells; the same part of the same file again changes nothing."""
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

    def ended_attempts(self, since: Instant, until: Instant) -> Iterator[tuple[str, AttemptEnded]]:
        """(model, attempt) of attempts that began in [since, until), gave no answer and whose usage was reported."""
        ...
