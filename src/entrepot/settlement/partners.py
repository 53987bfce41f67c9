"""What agreements come to."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from entrepot.core.agreements import Agreement, PartnerReport
from entrepot.core.charges import Reading
from entrepot.core.invoices import ACCRUED_KINDS, Invoice, InvoiceLine, LineKind
from entrepot.core.money import PICO, Rounding, format_minor, format_pico, parse_pico, round_share_to_minor
from entrepot.core.periods import Period, parse_period
from entrepot.core.statements import Statement, StatementItem
from entrepot.core.terms import SHARE

# (invoice number, line) -> its readings, and what each of them weighs in the line's amount.
Weights = Callable[[str, int], Sequence[tuple[Reading, int]]]


def resale_base(
    agreement: Agreement,
    invoices: Iterable[Invoice],
    models: Iterable[str],
    zone_of: Callable[[str], str],
    kind_of: Callable[[Invoice, InvoiceLine], LineKind],
    rate_of: Callable[[Invoice], int],
    weights: Weights,
) -> Fraction:
    """What customers were invoiced, before tax, for using or reserving these models while it was in force; in pico.

    zone_of: a contract's. kind_of: a line's; of a credit note, that of the line it takes from, since what was never
    shared is not taken back. rate_of: what the invoice's currency is in the agreement's, in pico.
    """
    names = set(models)
    base = Fraction(0)
    for invoice in invoices:
        for line in invoice.lines:
            if line.model in names and kind_of(invoice, line) in ACCRUED_KINDS:
                part = _part_in_force(agreement, invoice, line, zone_of(invoice.contract), weights)
                base += parse_pico(line.amount) * part * Fraction(rate_of(invoice), PICO)
    return base


def _part_in_force(agreement: Agreement, invoice: Invoice, line: InvoiceLine, zone: str, weights: Weights) -> Fraction:
    """The part of a line whose usage was admitted while the agreement was in force."""
    period = parse_period(line.period)
    begins, ends = period.start(zone), period.end(zone)
    if agreement.begins <= begins and ends <= agreement.ends:
        return Fraction(1)
    if agreement.ends <= begins or ends <= agreement.begins:
        return Fraction(0)
    weighed = weights(invoice.corrects or invoice.number, line.number)
    if not any(weight for _, weight in weighed):  # Late usage alone is rated as the month's first, which may be free.
        weighed = [(reading, reading.quantity) for reading, _ in weighed]
    inside = sum(weight for reading, weight in weighed if agreement.begins <= reading.hour < agreement.ends)
    return Fraction(inside, sum(weight for _, weight in weighed) or 1)


def reported_base(agreement: Agreement, reports: Iterable[PartnerReport], period: Period) -> Fraction:
    """What the partner reported of the period for this kind of agreement; in pico, of money or of a unit."""
    return Fraction(
        sum(
            report.reported_pico
            for report in reports
            if (report.partner, report.kind, report.period) == (agreement.partner, agreement.kind, str(period))
        )
    )


def is_in_force(agreement: Agreement, period: Period) -> bool:
    """Whether the agreement can concern a statement of the period. Months of agreements are counted in UTC."""
    return agreement.begins < period.end("UTC") and period.start("UTC") < agreement.ends


def state(
    agreement: Agreement,
    base: Fraction,
    stated: Sequence[tuple[str, StatementItem]],
    period: Period,
    rounding: Rounding,
) -> StatementItem:
    """What the agreement comes to for the period, less what was stated of it.

    stated: (period, item) of all its items so far. A cap is on what all periods come to together, so what is taken back
    under it makes room again.
    """
    bases = {label: Fraction(parse_pico(item.base)) for label, item in stated} | {str(period): base}
    due = sum(_due(agreement, of_period, rounding) for of_period in bases.values())
    left = None
    if agreement.cap_pico is not None:
        due = min(due, agreement.cap_pico)
        left = format_minor(agreement.cap_pico - due, agreement.currency)
    is_rental = agreement.kind == "capacity_rental"
    rounded = round_share_to_minor(base, agreement.currency, rounding)
    return StatementItem(
        agreement=agreement.id,
        kind=agreement.kind,
        direction=agreement.direction,
        base=format_pico(int(base)) if is_rental else format_minor(rounded, agreement.currency),
        rate=format_pico(agreement.each_pico if is_rental else agreement.share * 100),
        amount=format_minor(due - sum(parse_pico(item.amount) for _, item in stated), agreement.currency),
        cap_left=left,
    )


def _due(agreement: Agreement, base: Fraction, rounding: Rounding) -> int:
    """What a base comes to without a cap, in pico, rounded to the minor unit: an amount on a base rounded like it."""
    if agreement.kind == "capacity_rental":
        return round_share_to_minor(base * Fraction(agreement.each_pico, PICO), agreement.currency, rounding)
    rounded = round_share_to_minor(base, agreement.currency, rounding)
    return round_share_to_minor(rounded * Fraction(agreement.share, SHARE), agreement.currency, rounding)


def draw_up_statement(
    number: str, period: Period, partner: str, name: str, currency: str, items: Sequence[StatementItem], issued_at: str
) -> Statement:
    """The statement of these items, which are all in one currency."""
    net = sum(parse_pico(item.amount) * (1 if item.direction == "receive" else -1) for item in items)
    return Statement(
        number=number,
        period=str(period),
        partner=partner,
        partner_name=name,
        currency=currency,
        issued_at=issued_at,
        documents=tuple(items),
        net=format_minor(net, currency),
    )
