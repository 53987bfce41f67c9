"""The whole of the books in SQLite."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import msgspec

from entrepot.adapters.sql.control import Control
from entrepot.adapters.sql.database import Database
from entrepot.adapters.sql.invoices import Invoices
from entrepot.adapters.sql.open_requests import OpenRequests
from entrepot.adapters.sql.quarantine import Quarantine
from entrepot.adapters.sql.readings import Readings
from entrepot.adapters.sql.reconciliations import Reconciliations
from entrepot.adapters.sql.statements import Statements
from entrepot.adapters.sql.usage_windows import UsageWindows
from entrepot.ports.books import Books

_HASHED_AT_ONCE = 1000  # Rows; part of what a digest means.

# {table: the columns of its key}. reading_events is an index whose rows depend on how the log was cut into batches.
_TABLES = {
    "account": "no",
    "api_key": "id",
    "attempt": "id, number",
    "closing": "period, at",
    "commitment": "contract, begins",
    "counted": "instance, counter",
    "credit": "contract, credit",
    "instance": "id",
    "invoice": "no",
    "invoice_reading": "invoice, line, series, hour, meter",
    "journal": "no",
    "monthly_use": "period, series, key, meter",
    "open_request": "id",
    "origin": "no",
    "partner_cell": "partner, starts, account, key, item, meter",
    "partner_day": "partner, starts, kind",
    "partner_file": "partner, digest, part",
    "pool": "contract, price_version, model, meter, tier, price_class, period",
    "posting": "entry, leg",
    "quarantine": "id, digest",
    "reading": "hour, series, meter",
    "reconciliation": "since, until",
    "recovery_point": "point",
    "series": "no",
    "served_at": "admitted_at, id",
    "state": "name",
    "statement": "no",
    "usage_event": "seq",
    "world": "version",
}

_encode = msgspec.msgpack.Encoder().encode


class SqliteBooks(OpenRequests, UsageWindows, Invoices, Readings, Quarantine, Reconciliations, Statements, Control):
    """The books; see ports.books for what each method promises."""

    def transaction(self) -> AbstractContextManager[None]:
        """See ports.books."""
        return self._database.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """See ports.books."""
        return self._database.snapshot()

    def digest(self) -> dict[str, str]:
        """See ports.books."""
        return {table: self._digest_of(table) for table in _TABLES}

    def tables(self) -> list[str]:
        """See ports.books."""
        return list(_TABLES)

    def rows(self, table: str) -> Iterator[tuple[object, ...]]:
        """See ports.books."""
        return self._database.rows(f"SELECT * FROM {table} ORDER BY {_TABLES[table]}")

    def close(self) -> None:
        """See ports.books."""
        self._database.close()

    def _digest_of(self, table: str) -> str:
        digest = hashlib.sha256()
        held: list[tuple[object, ...]] = []
        for row in self.rows(table):
            held.append(row)
            if len(held) == _HASHED_AT_ONCE:
                digest.update(_encode(held))
                held.clear()
        digest.update(_encode(held))
        return digest.hexdigest()


def open_books(path: str) -> Books:
    """The books in a file, made and migrated as needed. Raises: BooksUnavailable.

    path: ":memory:" holds them in memory, "" in a private temporary file.
    """
    return SqliteBooks(Database(path))
