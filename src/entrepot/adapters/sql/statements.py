"""Issued statements: canonical bytes under their hash."""

import hashlib

import msgspec

from entrepot.adapters.sql.store import Store
from entrepot.core.statements import Statement

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Statement).decode


class Statements(Store):
    """The statement part of the books."""

    def issue_statement(self, statement: Statement) -> None:
        """See ports.books."""
        body = _encode(statement)
        known = self._database.one("SELECT 1 FROM statement WHERE number = ?", (statement.number,))
        assert known is None, f"the statement {statement.number} exists"
        self._database.execute(
            "INSERT INTO statement (number, period, partner, body, sha256) VALUES (?, ?, ?, ?, ?)",
            (statement.number, statement.period, statement.partner, body, hashlib.sha256(body).hexdigest()),
        )

    def statements(self, period: str | None = None, partner: str | None = None) -> list[Statement]:
        """See ports.books."""
        rows = self._database.rows(
            "SELECT body FROM statement WHERE (?1 IS NULL OR period = ?1) AND (?2 IS NULL OR partner = ?2) ORDER BY no",
            (period, partner),
        )
        return [_decode(body) for (body,) in rows]
