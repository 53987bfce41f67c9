"""What a contract's terms add to an invoice: its commitments, the rest of a minimum, taxes.

Minimums and taxes look at rounded amounts, everything else at exact ones.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec

from entrepot.core.invoices import MONTHLY_KINDS, InvoiceLine, LineDraft, TaxLine, amount_line
from entrepot.core.money import Rounding, format_minor, format_pico, parse_pico, round_share_to_minor
from entrepot.core.periods import Period, local_time, parse_period, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.terms import SHARE, Cap, Commitment, Minimum, Tax


def commitment_lines(
    contract: Contract,
    period: Period,
    commitment: Commitment,
    usage: Iterable[LineDraft],
    missing_pico: int,
    earlier: Sequence[InvoiceLine],
) -> list[LineDraft]:
    """What a commitment adds: its purchase, what usage has drawn from it month by month, or what was not spent of it.

    usage: the lines of this invoice without overage; those of the commitment's months are what it covers. What is drawn
    is of the month that it was used in, as a cap, credit and exchange rates are. missing_pico: what is settled now.
    """
    first = period_of(commitment.begins, contract.zone)
    last = period_of(commitment.ends - 1, contract.zone)
    if not commitment.prepaid:
        drafts = [amount_line("shortfall", last, missing_pico)]
    else:
        drawn: dict[Period, int] = defaultdict(int)
        for line in usage:
            drawn[parse_period(line.period)] += line.exact_pico
        covered = (
            month for month in sorted(drawn) if commitment.begins <= month.start(contract.zone) < commitment.ends
        )
        drafts = [amount_line("commitment", month, -drawn[month]) for month in covered]
        if period >= first and not any(line.kind == "purchase" and line.period == str(first) for line in earlier):
            drafts.append(amount_line("purchase", first, commitment.amount_pico))
    return [draft for draft in drafts if draft.exact_pico]


def minimum_lines(
    contract: Contract,
    period: Period,
    closed: Iterable[Period],
    new: Sequence[InvoiceLine],
    earlier: Sequence[InvoiceLine],
    rounding: Rounding,
) -> list[LineDraft]:
    """What the month's other lines leave of the contract's minimum, and the same for each month that new lines are of.

    closed: months; one that was closed before the contract was declared owes its minimum now. earlier: lines of the
    contract's invoices so far. Usage that comes late gives back what of a minimum it now covers.
    """
    monthly = sum(term.monthly_pico for term in contract.terms if isinstance(term, Minimum))
    if not monthly:
        return []
    months = {period, *(parse_period(line.period) for line in new), *_never_charged(contract, period, closed, earlier)}
    drafts = (_true_up(contract, month, monthly, new, earlier, rounding) for month in sorted(months))
    return [draft for draft in drafts if draft.exact_pico]


def _never_charged(
    contract: Contract, period: Period, closed: Iterable[Period], earlier: Iterable[InvoiceLine]
) -> set[Period]:
    """The closed months before the period that no invoice has a line of: with a minimum, each would have one."""
    first = period_of(contract.effective_from, contract.zone)
    charged = {line.period for line in earlier}
    return {month for month in closed if first <= month < period and str(month) not in charged}


def _true_up(
    contract: Contract,
    month: Period,
    monthly_pico: int,
    new: Sequence[InvoiceLine],
    earlier: Sequence[InvoiceLine],
    rounding: Rounding,
) -> LineDraft:
    due = round_share_to_minor(monthly_pico * part_of_month(contract, month), contract.currency, rounding)
    of_month = [line for line in (*earlier, *new) if line.period == str(month)]
    charged = sum(parse_pico(line.amount) for line in of_month if line.kind in MONTHLY_KINDS)
    trued_up = sum(parse_pico(line.amount) for line in of_month if line.kind == "minimum")
    return amount_line("minimum", month, max(0, due - charged) - trued_up)


def cap_lines(
    contract: Contract,
    period: Period,
    new: Sequence[InvoiceLine],
    earlier: Sequence[InvoiceLine],
    rounding: Rounding,
) -> list[LineDraft]:
    """What is not billed of a month, since it is above the contract's cap; of each month that new lines are of.

    A month comes to what its lines do with what a commitment has paid of them. Usage that comes late to a full month
    adds to what is not billed.
    """
    caps = [term.monthly_pico for term in contract.terms if isinstance(term, Cap)]
    drafts = []
    for month in sorted({period, *(parse_period(line.period) for line in new)}) if caps else ():
        most = round_share_to_minor(min(caps) * part_of_month(contract, month), contract.currency, rounding)
        of_month = [line for line in (*earlier, *new) if line.period == str(month)]
        charged = sum(parse_pico(line.amount) for line in of_month if line.kind in (*MONTHLY_KINDS, "commitment"))
        capped = sum(parse_pico(line.amount) for line in of_month if line.kind == "cap")
        drafts.append(amount_line("cap", month, min(0, most - charged) - capped))
    return [draft for draft in drafts if draft.exact_pico]


def part_of_month(contract: Contract, month: Period) -> Fraction:
    """How much of the month the contract is in force, by the calendar of its zone: every day counts the same."""
    zone = contract.zone
    begins, ends = month.start(zone), month.end(zone)
    first, last = max(begins, contract.effective_from), min(ends, contract.effective_to)
    whole = local_time(ends, zone) - local_time(begins, zone)
    return Fraction(max(0, local_time(last, zone) - local_time(first, zone)), whole)


def tax_lines(contract: Contract, lines: Iterable[InvoiceLine], rounding: Rounding) -> tuple[TaxLine, ...]:
    """One line for each of the contract's taxes, on the sum of the amounts it is for; a line is taxed once at most.

    Source: EN 16931 BR-CO-17 (tax per group on the sum of rounded nets).
    """
    taxes = [term for term in contract.terms if isinstance(term, Tax)]
    taxed: list[list[InvoiceLine]] = [[] for _ in taxes]
    for line in lines:
        for of_tax, tax in zip(taxed, taxes, strict=True):
            if not tax.models or line.model in tax.models:
                of_tax.append(line)
                break
    nets = [sum(parse_pico(line.amount) for line in of_tax) for of_tax in taxed]
    return tuple(
        TaxLine(
            name=tax.name,
            percent=format_pico(tax.share * 100),
            net=format_minor(net, contract.currency),
            amount=format_minor(
                round_share_to_minor(Fraction(net * tax.share, SHARE), contract.currency, rounding), contract.currency
            ),
            lines=tuple(line.number for line in of_tax),
            reverse_charge=tax.reverse_charge or msgspec.UNSET,
        )
        for tax, net, of_tax in zip(taxes, nets, taxed, strict=True)
    )
