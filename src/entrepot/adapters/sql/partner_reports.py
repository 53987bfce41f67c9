"""What partners say they served and charge for."""

import msgspec

from entrepot.adapters.sql.store import Store
from entrepot.core.log_records import PartnerReported
from entrepot.core.partner_usage import ReportedKind, ReportedRow
from entrepot.core.periods import Instant

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ReportedRow).decode


class PartnerReports(Store):
    """The part of the books that keeps partners' reports."""

    def _book_report(self, report: PartnerReported) -> None:
        partner = report.partner
        new = self._database.execute(
            "INSERT OR IGNORE INTO partner_file (partner, digest, part, at, file) VALUES (?, ?, ?, ?, ?)",
            (partner, report.digest, report.part, report.at, report.file),
        )
        if not new:
            return
        self._database.execute_many(
            "INSERT OR IGNORE INTO partner_day (partner, starts, kind) VALUES (?, ?, ?)",
            [(partner, starts, kind) for starts, kind in report.days],
        )
        self._database.execute_many(
            "INSERT INTO partner_cell (partner, starts, account, key, item, meter, body) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET body = excluded.body",
            [(partner, *row.cell, _encode(row)) for row in report.rows],
        )

    def has_report(self, partner: str, digest: str, part: int) -> bool:
        """See ports.books."""
        asked = (partner, digest, part)
        found = self._database.one("SELECT 1 FROM partner_file WHERE (partner, digest, part) = (?, ?, ?)", asked)
        return found is not None

    def reported(self, partner: str, since: Instant, until: Instant) -> list[ReportedRow]:
        """See ports.books."""
        rows = self._database.rows(
            "SELECT body FROM partner_cell WHERE partner = ? AND starts >= ? AND starts < ? "
            "ORDER BY starts, account, key, item, meter",
            (partner, since, until),
        )
        return [_decode(body) for (body,) in rows]

    def reported_days(self, partner: str, since: Instant, until: Instant) -> list[tuple[Instant, ReportedKind]]:
        """See ports.books."""
        return self._database.all(
            "SELECT starts, kind FROM partner_day WHERE partner = ? AND starts >= ? AND starts < ? "
            "ORDER BY starts, kind",
            (partner, since, until),
        )
