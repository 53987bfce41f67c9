"""The part of the books that is paper: issued invoices and statements, immutable."""

from typing import Protocol

from entrepot.core.invoices import Invoice
from entrepot.core.statements import Statement


class InvoiceStore(Protocol):
    """Issued invoices, immutable."""

    def issue(self, invoice: Invoice) -> None:
        """Freezes an invoice. Raises: AssertionError for a number that exists (a bug)."""
        ...

    def next_number(self, period: str, *, of_credit: bool = False) -> int:
        """The next sequence number of the period's invoices, or of its credit notes, without gaps, from 1."""
        ...

    def invoice(self, number: str) -> Invoice:
        """Raises: NotFound."""
        ...

    def last_invoiced(self, contract: str) -> str | None:
        """The last period that an invoice of a contract is of, credit notes aside; None without any."""
        ...

    def invoices(self, period: str | None = None, contract: str | None = None) -> list[Invoice]:
        """Issued invoices by number: all, or those of a period, of a contract."""
        ...

    def invoiced_contracts(self, period: str | None = None) -> list[str]:
        """Ids of the contracts that have issued invoices, of a period if one is named, in order."""
        ...

    def price_versions_of(self, number: str) -> dict[int, list[str]]:
        """{line of an issued invoice: ids of the price book versions it was rated by}; without lines that had none."""
        ...

    def damaged_invoices(self) -> list[str]:
        """Numbers of invoices whose stored bytes do not have the stored hash."""
        ...


class StatementStore(Protocol):
    """Issued statements of partners, immutable."""

    def issue_statement(self, statement: Statement) -> None:
        """Freezes a statement. Raises: AssertionError for a number that exists (a bug)."""
        ...

    def statements(self, period: str | None = None, partner: str | None = None) -> list[Statement]:
        """Issued statements in the order they were issued in: all, or those of a period, of a partner."""
        ...
