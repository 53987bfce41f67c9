"""Issued invoices beside the readings that their lines took."""

from collections.abc import Iterable, Iterator, Sequence

from entrepot.core.charges import Charge
from entrepot.core.invoices import Invoice, InvoiceLine
from entrepot.core.money import Rounding, format_pico, parse_pico, round_to_minor
from entrepot.core.periods import format_instant
from entrepot.core.terms import Commitment, Term
from entrepot.core.tokens import COVERED_MINUTES, RESERVED_MINUTES, UNIT_MINUTES

_OF_UNITS = (COVERED_MINUTES, RESERVED_MINUTES, UNIT_MINUTES)


def line_faults(invoice: Invoice, line: InvoiceLine, charges: Sequence[Charge], terms: Iterable[Term]) -> Iterator[str]:
    """What of a usage line is not what its charges come to. Amounts only where each unit has one price of its own."""
    where = f"the invoices: {invoice.number} line {line.number}, contract {invoice.contract}, {line.what or line.model}"
    if any(isinstance(term, Commitment) for term in terms) or any(charge.meter in _OF_UNITS for charge in charges):
        return  # A commitment splits charges between lines, and a reservation minutes.
    first = f", from hour {format_instant(charges[0].hour)}" if charges else ""
    units = sum(charge.quantity for charge in charges)
    if line.quantity != str(units):
        yield f"{where}{first}: the line has {line.quantity}, its readings {units}"
    exact = sum(charge.amount_pico for charge in charges)
    is_plain = not invoice.conversions and all(charge.unit_pico is not None for charge in charges)
    if is_plain and parse_pico(line.exact) != exact:
        yield f"{where}{first}: the line comes to {line.exact}, its readings to {format_pico(exact)}"


def sum_faults(invoice: Invoice, rounding: Rounding) -> Iterator[str]:
    """What of an invoice does not sum up by itself."""
    where = f"the invoices: {invoice.number}, contract {invoice.contract}"
    for line in invoice.lines:
        if round_to_minor(parse_pico(line.exact), invoice.currency, rounding) != parse_pico(line.amount):
            yield f"{where}, line {line.number}: {line.exact} does not round to {line.amount}"
    net = sum(parse_pico(line.amount) for line in invoice.lines)
    tax = sum(parse_pico(tax.amount) for tax in invoice.taxes)
    for what, said, found in (
        ("net", invoice.net, net),
        ("tax", invoice.tax, tax),
        ("total", invoice.total, net + tax),
    ):
        if parse_pico(said) != found:
            yield f"{where}: {what} is {said}, and {format_pico(found)} by its lines"
