"""Prepaid credit and grants on an invoice: bought, and drawn to pay what a month comes to.

Credit pays whole months of the time it is for, the oldest month first; of several credits the one that expires first,
then the one that began first, then in their order. What it has paid is a function of what all months come to, so an
invoice has the difference to what earlier ones have.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from entrepot.core.invoices import PAID_KINDS, InvoiceLine, LineDraft, amount_line
from entrepot.core.money import parse_pico
from entrepot.core.periods import Period, parse_period, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Credit


def credit_lines(
    contract: Contract,
    period: Period,
    new: Sequence[InvoiceLine],
    earlier: Sequence[InvoiceLine],
) -> list[LineDraft]:
    """What the contract's credits add to an invoice. new, earlier: its other lines, and those of invoices before."""
    agreed = credits_of(contract)
    drafts = []
    for credit in agreed:
        first = period_of(credit.begins, contract.zone)
        bought = any(line.kind == "credit_bought" and line.price_class == credit.id for line in earlier)
        if not credit.granted and period >= first and not bought:
            drafts.append(amount_line("credit_bought", first, credit.amount_pico, credit.id))
    due: dict[Period, int] = defaultdict(int)
    for line in (*earlier, *new):
        if line.kind in PAID_KINDS:
            due[parse_period(line.period)] += parse_pico(line.amount)
    used: dict[tuple[Period, str], int] = defaultdict(int)
    for line in earlier:
        if line.kind == "credit_used":
            used[parse_period(line.period), line.price_class] -= parse_pico(line.amount)
    drawn = _drawn(agreed, due, contract.zone)
    for month, name in sorted(drawn.keys() | used.keys()):
        more = drawn.get((month, name), 0) - used[month, name]
        if more:
            drafts.append(amount_line("credit_used", month, -more, name))
    return drafts


def credits_of(contract: Contract) -> list[Credit]:
    """The contract's credits, those that are drawn first in front."""
    agreed = [term for term in contract.terms if isinstance(term, Credit)]
    return sorted(agreed, key=lambda credit: (credit.ends, credit.begins))


def unused_pico(credit: Credit, lines: Iterable[InvoiceLine]) -> int:
    """What is left of a credit after all of its contract's lines."""
    drawn = (line for line in lines if line.kind == "credit_used" and line.price_class == credit.id)
    return credit.amount_pico + sum(parse_pico(line.amount) for line in drawn)


def granted_pico(contract: Contract, lines: Iterable[InvoiceLine]) -> int:
    """What granted credit pays of an invoice, below zero."""
    granted = {credit.id for credit in credits_of(contract) if credit.granted}
    used = (line for line in lines if line.kind == "credit_used" and line.price_class in granted)
    return sum(parse_pico(line.amount) for line in used)


def _drawn(agreed: Sequence[Credit], due: dict[Period, int], zone: str) -> dict[tuple[Period, str], int]:
    """{(month, credit): what it pays of the month}."""
    left = {credit.id: credit.amount_pico for credit in agreed}
    drawn: dict[tuple[Period, str], int] = {}
    for month in sorted(due):
        open_pico = max(0, due[month])
        for credit in agreed:
            if credit.begins <= month.start(zone) < credit.ends:
                taken = min(open_pico, left[credit.id])
                left[credit.id] -= taken
                open_pico -= taken
                if taken:
                    drawn[month, credit.id] = taken
    return drawn
