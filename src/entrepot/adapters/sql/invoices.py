"""Issued invoices: canonical bytes under their hash, and the way from a line back to its requests."""

import hashlib
from collections.abc import Iterator

import msgspec

from entrepot.adapters.sql.usage_events import UsageEvents
from entrepot.core.charges import Reading
from entrepot.core.errors import NotFound
from entrepot.core.invoices import Invoice
from entrepot.core.usage_event import UsageEvent

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Invoice).decode


class Invoices(UsageEvents):
    """The invoice part of the books."""

    def issue(self, invoice: Invoice) -> None:
        """See ports.books."""
        body = _encode(invoice)
        known = self._database.one("SELECT 1 FROM invoice WHERE number = ?", (invoice.number,))
        assert known is None, f"the invoice {invoice.number} exists"
        self._database.execute(
            "INSERT INTO invoice (number, period, contract, through_seq, body, sha256) VALUES (?, ?, ?, ?, ?, ?)",
            (
                invoice.number,
                invoice.period,
                invoice.contract,
                self._last_seq(),
                body,
                hashlib.sha256(body).hexdigest(),
            ),
        )

    def next_number(self, period: str, *, of_credit: bool = False) -> int:
        """See ports.books."""
        row = self._database.one(
            "SELECT number FROM invoice WHERE period = ? AND (number LIKE '%-C%') = ? ORDER BY no DESC LIMIT 1",
            (period, of_credit),
        )
        return int(row[0].rpartition("-")[2].removeprefix("C")) + 1 if row else 1

    def invoice(self, number: str) -> Invoice:
        """See ports.books."""
        row = self._database.one("SELECT body FROM invoice WHERE number = ?", (number,))
        if row is None:
            raise NotFound(f"there is no invoice {number}; `entrepot invoice list` shows those there are")
        return _decode(row[0])

    def last_invoiced(self, contract: str) -> str | None:
        """See ports.books."""
        wanted = "SELECT max(period) FROM invoice WHERE contract = ? AND number NOT LIKE '%-C%'"
        row = self._database.one(wanted, (contract,))
        return None if row is None else row[0]

    def invoices(self, period: str | None = None, contract: str | None = None) -> list[Invoice]:
        """See ports.books."""
        wanted = {"period": period, "contract": contract}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "true"
        rows = self._database.rows(f"SELECT body FROM invoice WHERE {where} ORDER BY number", given.values())
        return [_decode(row[0]) for row in rows]

    def invoiced_contracts(self, period: str | None = None) -> list[str]:
        """See ports.books."""
        rows = self._database.all(
            "SELECT DISTINCT contract FROM invoice WHERE ?1 IS NULL OR period = ?1 ORDER BY contract", (period,)
        )
        return [contract for (contract,) in rows]

    def price_versions_of(self, number: str) -> dict[int, list[str]]:
        """See ports.books."""
        rows = self._database.all(
            "SELECT DISTINCT line, price_version FROM invoice JOIN invoice_reading ON invoice = invoice.no "
            "JOIN series ON series = series.no WHERE number = ? AND price_version <> '' ORDER BY line, price_version",
            (number,),
        )
        versions: dict[int, list[str]] = {}
        for line, version in rows:
            versions.setdefault(line, []).append(version)
        return versions

    def damaged_invoices(self) -> list[str]:
        """See ports.books."""
        rows = self._database.rows("SELECT number, body, sha256 FROM invoice ORDER BY number")
        return [number for number, body, sha256 in rows if hashlib.sha256(body).hexdigest() != sha256]

    def requests_of_line(self, invoice: str, line: int) -> Iterator[UsageEvent]:
        """See ports.books."""
        if line not in {item.number for item in self.invoice(invoice).lines}:
            raise NotFound(f"invoice {invoice} has no line {line}; `entrepot invoice show {invoice}` shows its lines")
        return self._requests_of_line(invoice, line)

    def readings_of_line(self, invoice: str, line: int) -> list[Reading]:
        """See ports.books."""
        rows = self._database.rows(
            "SELECT series, meter, hour, quantity FROM invoice JOIN invoice_reading ON invoice = no "
            "WHERE number = ? AND line = ? ORDER BY hour, series, meter",
            (invoice, line),
        )
        series_of = self._packer.series.key
        return [Reading(series_of(number), meter, hour, quantity) for number, meter, hour, quantity in rows]

    def _requests_of_line(self, invoice: str, line: int) -> Iterator[UsageEvent]:
        taken = self._database.all(
            "SELECT series, hour, through_seq, no, json_group_array(meter) FROM invoice JOIN invoice_reading "
            "ON invoice = no WHERE number = ? AND line = ? GROUP BY series, hour ORDER BY hour, series",
            (invoice, line),
        )
        for series, hour, through_seq, number, meters in taken:
            names = msgspec.json.decode(meters, type=set[str])
            for event in self._behind(series, hour, self._through_before(series, hour, number), through_seq):
                if any(event.meters.get(name) for name in names):
                    yield event

    def _through_before(self, series: int, hour: int, invoice: int) -> int:
        """The last event folded before the invoice that took this hour of the series last before the given one."""
        row = self._database.one(
            "SELECT max(through_seq) FROM invoice_reading JOIN invoice ON no = invoice "
            "WHERE series = ? AND hour = ? AND invoice < ?",
            (series, hour, invoice),
        )
        return row[0] if row and row[0] else 0
