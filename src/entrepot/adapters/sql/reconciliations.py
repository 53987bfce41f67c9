"""Counts to hold against each other, and what came of it."""

from collections.abc import Iterator

import msgspec

from entrepot.adapters.sql.journal import Journal
from entrepot.adapters.sql.partner_reports import PartnerReports
from entrepot.core.charges import Reading
from entrepot.core.journal import JournalEntry, Posting
from entrepot.core.log_records import PartnerReported, Reconciled
from entrepot.core.money import join_pico
from entrepot.core.periods import Instant
from entrepot.ports.count_store import CountedReading

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reconciled).decode


class Reconciliations(Journal, PartnerReports):
    """The part of the books that reconciling reads, beside what others read too."""

    def counted_readings(self, since: Instant, until: Instant) -> Iterator[CountedReading]:
        """See ports.books."""
        series_of = self._packer.series.key
        for number, *counted in self._database.rows(
            "SELECT series, meter, hour, quantity, posted, invoiced FROM reading CROSS JOIN series ON no = series "
            "WHERE hour >= ? AND hour < ? ORDER BY contract, hour, series, meter",
            (since, until),
        ):
            yield CountedReading(series_of(number), *counted)

    def invoiced_readings(self, since: Instant, until: Instant) -> Iterator[Reading]:
        """See ports.books."""
        series_of = self._packer.series.key
        for number, meter, hour, quantity in self._database.rows(
            "SELECT invoice_reading.series, invoice_reading.meter, invoice_reading.hour, sum(invoice_reading.quantity) "
            "FROM (SELECT DISTINCT hour, series FROM reading WHERE hour >= ? AND hour < ?) AS counted "
            "CROSS JOIN invoice_reading ON invoice_reading.series = counted.series "
            "AND invoice_reading.hour = counted.hour GROUP BY 1, 2, 3",
            (since, until),
        ):
            yield Reading(series_of(number), meter, hour, quantity)

    def usage_entries(self, since: Instant, until: Instant) -> Iterator[JournalEntry]:
        """See ports.books."""
        heads = self._database.rows(
            "SELECT no, key, kind, at FROM journal WHERE kind = 'usage' AND at >= ? AND at < ? ORDER BY no",
            (since, until),
        )
        for number, key, kind, at in heads:
            legs = self._database.all(
                "SELECT account, currency, wide, micro, pico_rem FROM posting WHERE entry = ? ORDER BY leg", (number,)
            )
            postings = tuple(
                Posting(self._accounts.key(account), currency, join_pico(*amount))
                for account, currency, *amount in legs
            )
            yield JournalEntry(key=key, kind=kind, at=at, postings=postings)

    def book_compared(self, record: PartnerReported | Reconciled) -> None:
        """See ports.books."""
        if isinstance(record, PartnerReported):
            self._book_report(record)
            return
        self._database.execute(
            "INSERT OR REPLACE INTO reconciliation (since, until, at, body) VALUES (?, ?, ?, ?)",
            (record.since, record.until, record.at, _encode(record)),
        )

    def reconciliations(self) -> list[Reconciled]:
        """See ports.books."""
        return [
            _decode(body) for (body,) in self._database.all("SELECT body FROM reconciliation ORDER BY since, until")
        ]
