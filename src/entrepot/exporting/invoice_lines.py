"""Issued invoices as a table: a row for each line, and one for each tax."""

from collections.abc import Iterator

from entrepot.core.invoices import Invoice
from entrepot.core.periods import parse_instant
from entrepot.ports.tables import Cell, Column

INVOICE_COLUMNS = (
    Column("invoice"),
    Column("period"),
    Column("issued_at", "time"),
    Column("customer"),
    Column("customer_name"),
    Column("contract"),
    Column("corrects"),
    Column("reason"),
    Column("line"),
    Column("kind"),
    Column("service_period"),
    Column("model"),
    Column("meter"),
    Column("tier"),
    Column("price_class"),
    Column("tax"),
    Column("tax_percent", "decimal"),
    Column("quantity", "decimal"),
    Column("unit_price", "decimal"),
    Column("exact", "decimal"),
    Column("amount", "decimal"),
    Column("currency"),
)


def invoice_rows(invoice: Invoice) -> Iterator[list[Cell]]:
    """The rows of an invoice; their amounts sum to its total. What a tax comes to exactly is not kept."""
    issued = parse_instant(invoice.issued_at)
    names = (
        invoice.customer,
        invoice.customer_name,
        invoice.contract,
        invoice.corrects or None,
        invoice.reason or None,
    )
    common: list[Cell] = [invoice.number, invoice.period, issued, *names]
    for line in invoice.lines:
        of = (line.model or None, line.meter or None, line.tier or None, line.price_class or None)
        numbers = (line.quantity, line.unit_price, line.exact, line.amount)
        yield [*common, str(line.number), line.kind, line.period, *of, None, None, *numbers, invoice.currency]
    for tax in invoice.taxes:
        amounts = (tax.name, tax.percent, None, None, None, tax.amount)
        yield [*common, None, "tax", invoice.period, *[None] * 4, *amounts, invoice.currency]
