"""The lines of issued invoices, as rows."""

from collections.abc import Iterator

from entrepot.exporting.invoice_lines import invoice_rows
from entrepot.ports.books import Books
from entrepot.ports.tables import Cell


def invoice_table(books: Books, period: str | None, customer: str | None) -> Iterator[list[Cell]]:
    """A row for each line and tax, with a cell for each of INVOICE_COLUMNS, by contract and number.

    period, customer: only those of their invoices. Memory grows with the invoices of one contract, and not beyond.
    """
    for contract in books.invoiced_contracts(period):
        for invoice in books.invoices(period, contract):
            if customer in (None, invoice.customer):
                yield from invoice_rows(invoice)
