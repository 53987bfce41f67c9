"""The books in the forms of other tools, as commands write them to files."""

from pathlib import Path

from entrepot.adapters.usage_files.output import open_output
from entrepot.compose.books import open_current_books
from entrepot.compose.settings import Settings
from entrepot.flows.export_ledger import LedgerForm, ledger_lines


def export_ledger(settings: Settings, path: Path | None, form: LedgerForm) -> int:
    """How many journal entries were written. Raises: BooksUnavailable, LogDamaged, BadInput."""
    with open_current_books(settings) as books, books.snapshot(), open_output(path) as file:
        file.writelines(f"{line}\n".encode() for line in ledger_lines(books, form))
        return books.root()[0]
