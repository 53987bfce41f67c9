"""The part of the books that keeps what partners report."""

from typing import Protocol

from entrepot.core.log_records import PartnerReported
from entrepot.core.partner_usage import ReportedKind, ReportedRow
from entrepot.core.periods import Instant


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
