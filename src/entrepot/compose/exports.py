"""The books in the forms of other tools, as commands write them to files."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from entrepot.adapters.usage_files.output import open_output
from entrepot.adapters.usage_files.tables import open_table
from entrepot.compose.books import open_current_books
from entrepot.compose.settings import Settings
from entrepot.core.world import index_of
from entrepot.exporting.focus_columns import FocusVersion, focus_columns
from entrepot.exporting.invoice_lines import INVOICE_COLUMNS
from entrepot.flows.export_invoices import invoice_table
from entrepot.flows.export_ledger import LedgerForm, ledger_lines
from entrepot.flows.tell_costs.focus import focus_rows
from entrepot.ports.tables import Cell, Column

_AT_ONCE = 5000


def export_ledger(settings: Settings, path: Path | None, form: LedgerForm) -> int:
    """How many journal entries were written. Raises: BooksUnavailable, LogDamaged, BadInput."""
    with open_current_books(settings) as books, books.snapshot(), open_output(path) as file:
        file.writelines(f"{line}\n".encode() for line in ledger_lines(books, form))
        return books.root()[0]


def export_focus(
    settings: Settings, path: Path | None, version: FocusVersion, period: str | None, customer: str | None
) -> int:
    """How many rows of FOCUS were written. Raises: BooksUnavailable, LogDamaged, BadInput."""
    with open_current_books(settings) as books, books.snapshot():
        rows = focus_rows(books, index_of(books.worlds()), version, period, customer)
        return _write(path, focus_columns(version), rows)


def export_invoices(settings: Settings, path: Path | None, period: str | None, customer: str | None) -> int:
    """How many lines of invoices were written. Raises: BooksUnavailable, LogDamaged, BadInput."""
    with open_current_books(settings) as books, books.snapshot():
        return _write(path, INVOICE_COLUMNS, invoice_table(books, period, customer))


def _write(path: Path | None, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> int:
    waiting, written = iter(rows), 0
    with open_table(path, columns) as table:
        while some := list(islice(waiting, _AT_ONCE)):
            table.add(some)
            written += len(some)
    return written
