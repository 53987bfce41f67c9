"""Credit notes: lines of an issued invoice given back, in whole or in part, with their tax."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec

from entrepot.core.errors import BadInput
from entrepot.core.invoices import Invoice, InvoiceLine, TaxLine
from entrepot.core.money import Rounding, format_minor, parse_pico, round_share_to_minor, round_to_minor
from entrepot.core.periods import Instant, Period, format_instant
from entrepot.core.terms import SHARE, parse_percent


def credit_number_of(period: Period, sequence: int) -> str:
    """The number of a period's credit note: "2024-05-C00001"."""
    return f"{period}-C{sequence:05d}"


def credit(
    number: str,
    invoice: Invoice,
    earlier: Sequence[Invoice],
    wanted: Iterable[tuple[int, str]],
    rounding: Rounding,
    period: Period,
    at: Instant,
    reason: str,
) -> Invoice:
    """The credit note. earlier: those of the same invoice. wanted: (line, amount, or "" for what is left of it).

    Tax is what the invoice says was taken on each line: that on all that is given back so far, less what was given back
    of it before, so that any number of notes give back exactly the tax of the invoice.
    Raises: BadInput when a line is not there, or less is left of it or of the whole invoice, before tax.
    """
    lines = [_credited(invoice, earlier, line, amount) for line, amount in wanted]
    if not lines or len({line.number for line in lines}) < len(lines):
        raise BadInput("name each line to give back once")
    taxes = tuple(_tax(invoice, place, lines, earlier, rounding) for place in range(len(invoice.taxes)))
    net = sum(parse_pico(line.amount) for line in lines)
    left = parse_pico(invoice.net) + sum(parse_pico(note.net) for note in earlier)
    if -net > left:  # A cap, a commitment or credit took off what other lines say.
        raise BadInput(
            f"of invoice {invoice.number} {format_minor(max(left, 0), invoice.currency)} is left, before tax; "
            "give back no more than that"
        )
    tax_pico = sum(parse_pico(tax.amount) for tax in taxes)
    return Invoice(
        number=number,
        period=str(period),
        customer=invoice.customer,
        customer_name=invoice.customer_name,
        contract=invoice.contract,
        currency=invoice.currency,
        issued_at=format_instant(at),
        lines=tuple(lines),
        net=format_minor(net, invoice.currency),
        tax=format_minor(tax_pico, invoice.currency),
        total=format_minor(net + tax_pico, invoice.currency),
        residual="0",
        taxes=taxes,
        corrects=invoice.number,
        reason=reason,
        seller=invoice.seller,
        buyer=invoice.buyer,
    )


def _credited(invoice: Invoice, earlier: Iterable[Invoice], number: int, amount: str) -> InvoiceLine:
    line = next((item for item in invoice.lines if item.number == number), None)
    if invoice.corrects:
        raise BadInput(f"{invoice.number} is a credit note, of which nothing can be given back; name the invoice")
    if line is None:
        raise BadInput(f"invoice {invoice.number} has lines 1 to {len(invoice.lines)}, not {number}")
    given_back = sum(parse_pico(item.amount) for note in earlier for item in note.lines if item.number == number)
    left = parse_pico(line.amount) + given_back
    try:
        wanted = parse_pico(amount) if amount else left
    except ValueError as error:
        raise BadInput(str(error)) from None
    if not 0 < wanted <= left or wanted != round_to_minor(wanted, invoice.currency):
        raise BadInput(
            f"of line {number} of invoice {invoice.number} {format_minor(max(left, 0), invoice.currency)} is left; "
            f"give back an amount in whole minor units of {invoice.currency} up to that"
        )
    taken = format_minor(-wanted, invoice.currency)
    return InvoiceLine(
        number=number,
        kind="credit",
        period=line.period,
        model=line.model,
        meter=line.meter,
        tier=line.tier,
        quantity="0",
        unit_price=None,
        exact=taken,
        amount=taken,
        price_class=line.price_class,
    )


def _tax(
    invoice: Invoice, place: int, lines: Sequence[InvoiceLine], earlier: Sequence[Invoice], rounding: Rounding
) -> TaxLine:
    """What a note gives back of a tax of the invoice, which stands in the same place on each; two may have one name.

    lines: of this note; earlier: the notes before it.
    """
    tax = invoice.taxes[place]
    given_back = [*(line for note in earlier for line in note.lines), *lines]
    net = sum(parse_pico(line.amount) for line in given_back if line.number in tax.lines)
    before = [note.taxes[place] for note in earlier]
    due = round_share_to_minor(Fraction(net * parse_percent(tax.percent), SHARE), invoice.currency, rounding)
    return msgspec.structs.replace(
        tax,
        net=format_minor(net - sum(parse_pico(item.net) for item in before), invoice.currency),
        amount=format_minor(due - sum(parse_pico(item.amount) for item in before), invoice.currency),
        lines=tuple(line.number for line in lines if line.number in tax.lines),
    )
