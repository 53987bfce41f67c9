"""Drafts into an invoice that can be frozen."""

from collections.abc import Sequence

from entrepot.core.invoices import Invoice, LineDraft, Totals, draw_lines
from entrepot.core.money import Rounding, format_minor, format_pico
from entrepot.core.periods import Instant, Period, format_instant
from entrepot.core.tenancy import Contract, Customer


def number_of(period: Period, sequence: int) -> str:
    """The number of a period's invoice: "2024-03-000001"."""
    return f"{period}-{sequence:06d}"


def draw_up(
    number: str,
    period: Period,
    contract: Contract,
    customer: Customer,
    drafts: Sequence[LineDraft],
    rounding: Rounding,
    at: Instant,
) -> tuple[Invoice, Totals]:
    """The invoice of a contract and its totals in pico; each line rounded once, the residual shown."""
    lines, totals = draw_lines(drafts, contract.currency, rounding)
    net = format_minor(totals.net_pico, contract.currency)
    invoice = Invoice(
        number=number,
        period=str(period),
        customer=customer.id,
        customer_name=customer.name,
        contract=contract.id,
        currency=contract.currency,
        issued_at=format_instant(at),
        lines=lines,
        net=net,
        tax=format_minor(0, contract.currency),
        total=net,
        residual=format_pico(totals.residual_pico),
    )
    return invoice, totals
