"""The costs of issued invoices as rows of FOCUS."""

from collections.abc import Iterator

from entrepot.core.world import WorldIndex
from entrepot.exporting.focus import FocusRows
from entrepot.exporting.focus_columns import FocusVersion
from entrepot.exporting.past_names import PastNames
from entrepot.flows.tell_costs.contract_costs import costs
from entrepot.ports.books import Books
from entrepot.ports.tables import Cell


def focus_rows(
    books: Books, terms: WorldIndex | None, version: FocusVersion, period: str | None, customer: str | None
) -> Iterator[list[Cell]]:
    """A row for each cost, with a cell for each of focus_columns. period, customer: only those of their invoices."""
    if terms is not None:
        rows = FocusRows(PastNames(books.worlds()), version)
        yield from map(rows.row, costs(books, terms, period, customer))
