"""Drafts into an invoice that can be frozen."""

from collections.abc import Iterable, Sequence

import msgspec

from entrepot.core.invoices import Invoice, InvoiceLine, LineDraft, Totals, draw_lines
from entrepot.core.money import format_minor, format_pico, parse_pico
from entrepot.core.periods import Instant, Period, format_instant
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Cap, Credit, Minimum
from entrepot.core.world import WorldIndex
from entrepot.invoicing.credits import credit_lines
from entrepot.invoicing.exchange import conversions_of, converted
from entrepot.invoicing.subscriptions import subscription_lines
from entrepot.invoicing.terms import cap_lines, minimum_lines, tax_lines


def number_of(period: Period, sequence: int) -> str:
    """The number of a period's invoice: "2024-03-000001"."""
    return f"{period}-{sequence:06d}"


def draw_up(
    terms: WorldIndex,
    contract: Contract,
    period: Period,
    number: str,
    at: Instant,
    drafts: Sequence[LineDraft],
    earlier: Sequence[InvoiceLine],
    closed: Iterable[Period] = (),
) -> tuple[Invoice, Totals] | None:
    """The invoice of a contract and its totals in pico, or None when there is nothing to invoice.

    Each line is rounded once, the residual shown. earlier: lines of the contract's invoices so far. closed: months.
    drafts: in the currency of the prices. What is added here is in the invoice's: seats, then what the contract makes
    of the sum.
    """
    operator, customer = terms.world.operator, terms.customers[contract.customer]
    rounding = operator.rounding
    conversions = conversions_of(terms.world.exchange_rates, contract, {line.period for line in drafts})
    seats = subscription_lines(contract, period, terms.subscriptions_of(contract.customer), earlier)
    whole = [*converted(drafts, conversions), *seats]
    agreed = {type(term) for term in contract.terms}
    if Minimum in agreed:
        so_far, _ = draw_lines(whole, contract.currency, rounding)
        whole += minimum_lines(contract, period, closed, so_far, earlier, rounding)
    if Cap in agreed:
        so_far, _ = draw_lines(whole, contract.currency, rounding)
        whole += cap_lines(contract, period, so_far, earlier, rounding)
    if Credit in agreed:
        so_far, _ = draw_lines(whole, contract.currency, rounding)
        whole += credit_lines(contract, period, so_far, earlier)
    if not whole:
        return None
    lines, totals = draw_lines(whole, contract.currency, rounding)
    taxes = tax_lines(contract, lines, rounding)
    tax_pico = sum(parse_pico(tax.amount) for tax in taxes)
    invoice = Invoice(
        number=number,
        period=str(period),
        customer=customer.id,
        customer_name=customer.name,
        contract=contract.id,
        currency=contract.currency,
        issued_at=format_instant(at),
        lines=lines,
        net=format_minor(totals.net_pico, contract.currency),
        tax=format_minor(tax_pico, contract.currency),
        total=format_minor(totals.net_pico + tax_pico, contract.currency),
        residual=format_pico(totals.residual_pico),
        taxes=taxes,
        conversions=conversions,
        seller=operator.party or msgspec.UNSET,
        buyer=customer.party or msgspec.UNSET,
    )
    return invoice, totals
