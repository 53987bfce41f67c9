"""Issued invoices beside the readings that their lines took."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from entrepot.core.charges import Charge
from entrepot.core.invoices import Invoice, InvoiceLine
from entrepot.core.money import Rounding, format_parts, format_pico, parse_pico, round_to_minor
from entrepot.core.periods import Period, format_instant, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Commitment
from entrepot.core.tokens import COVERED_MINUTES, MINUTES_PER_HOUR, RESERVED_MINUTES, UNIT_MINUTES


class Rated(NamedTuple):
    """A line and what its readings cost together with those of the other lines, in pico."""

    line: InvoiceLine
    pico: int


def line_faults(
    invoice: Invoice, line: InvoiceLine, charges: Sequence[Charge], contract: Contract, *, one_price: bool
) -> Iterator[str]:
    """What of a line is not what its charges come to. one_price: whether each has its own, in the line's currency."""
    where = f"the invoices: {invoice.number} line {line.number}, contract {contract.id}, {line.what or line.model}"
    first = f", from hour {format_instant(charges[0].hour)}" if charges else ""
    counted = [charge for charge in charges if charge.meter != COVERED_MINUTES]
    by_the_minute = any(charge.meter in {RESERVED_MINUTES, UNIT_MINUTES} for charge in counted)
    units = format_parts(sum(charge.quantity for charge in counted), MINUTES_PER_HOUR if by_the_minute else 1)
    if line.quantity != units:
        yield f"{where}{first}: the line has {line.quantity}, its readings {units}"
    exact = sum(charge.amount_pico for charge in charges)
    if one_price and parse_pico(line.exact) != exact:
        yield f"{where}{first}: the line comes to {line.exact}, its readings to {format_pico(exact)}"


def months_together(contract: Contract, month: Period) -> tuple[Period, Period, Commitment | None]:
    """(first, last, commitment): the months whose lines only come to what they should together; a commitment's term."""
    for term in contract.terms:
        if isinstance(term, Commitment):
            first, last = period_of(term.begins, contract.zone), period_of(term.ends - 1, contract.zone)
            if first <= month <= last:
                return first, last, term
    return month, month, None


def together_faults(
    contract: Contract, first: Period, commitment: Commitment | None, lines: Sequence[Rated]
) -> Iterator[str]:
    """What the contract's lines come to otherwise than all of their readings do, over all of its invoices.

    lines: those with readings, of a month, or of the whole term of the commitment that begins in it.
    """
    usage = [item for item in lines if item.line.kind != "reservation"]
    for name in sorted({item.line.price_class for item in lines if item.line.kind == "reservation"}):
        of_name = [item for item in lines if (item.line.kind, item.line.price_class) == ("reservation", name)]
        yield from _sums_differ(contract, first, name, of_name, sum(item.pico for item in of_name))
    if commitment is None:
        for model in sorted({item.line.model for item in usage}):
            of_model = [item for item in usage if item.line.model == model]
            yield from _sums_differ(contract, first, f"model {model}", of_model, sum(item.pico for item in of_model))
        return
    charged = sum(item.pico for item in usage)
    overage = [item for item in usage if item.line.kind == "overage"]
    covered = [item for item in usage if item.line.kind != "overage"]
    yield from _sums_differ(contract, first, "within the commitment", covered, commitment.drawn_pico(charged))
    yield from _sums_differ(contract, first, "beyond the commitment", overage, commitment.overage_pico(charged))


def _sums_differ(contract: Contract, first: Period, what: str, lines: Sequence[Rated], pico: int) -> Iterator[str]:
    printed = sum(parse_pico(item.line.exact) for item in lines)
    if printed != pico:
        yield (
            f"the invoices: contract {contract.id}, month {first}, {what}: all lines come to {format_pico(printed)}, "
            f"their readings to {format_pico(pico)}"
        )


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
