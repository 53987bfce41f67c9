"""Invoices on a terminal."""

from entrepot.cli.invoice import invoice_rows, line_table
from entrepot.core.invoices import Invoice, InvoiceLine


def test_amounts_have_their_thousands_apart() -> None:
    at = "2024-06-01T00:00:00Z"
    amounts = ("1234567.80", "0.00", "1234567.80", "0.001")
    invoice = Invoice("2024-05-000001", "2024-05", "acme", "Acme", "acme@1", "USD", at, (), *amounts)
    assert invoice_rows([invoice])[-1].endswith("1,234,567.80  USD")
    line = InvoiceLine(
        1, "usage", "2024-05", "large", "input_tokens", "default", "2000000", "0.5", "1000000.001", "1000000.00"
    )
    assert line_table([line])[-1].split()[-4:] == ["2,000,000", "0.5", "1,000,000.001", "1,000,000.00"]
