"""What a change of the world may not touch: what closed months are worked out from again.

A statement says what an agreement comes to over all of its months, less what was stated of them before. So another
share, and models of another partner, would be stated of every month so far, and not from now on. Late usage, and a
credit note, work out taxes, minimums and caps of their month again, less what was charged of them before; so another
way of rounding, or a contract that holds for more of the month, would be charged of all of it.
"""

from collections.abc import Callable, Collection, Iterator

import msgspec

from entrepot.core.agreements import Agreement
from entrepot.core.periods import Instant, Period, format_instant, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Cap, Minimum
from entrepot.core.world import World

# The end of the last month that an agreement holds for and that is closed; None without any.
ClosedUntil = Callable[[Agreement], Instant | None]


def rounding_conflicts(before: World, after: World, closed: Collection[Period]) -> Iterator[str]:
    """A sentence when amounts would be rounded otherwise although months are closed."""
    old, new = before.operator.rounding, after.operator.rounding
    if closed and old != new:
        yield (
            f"operator.rounding is {old} in months that are closed, the last of them {max(closed)}, and cannot become "
            f"{new}: what comes late to them would be rounded otherwise than what was invoiced and stated of them"
        )


def end_conflicts(before: World, after: World, last_invoiced: Callable[[Contract], Period | None]) -> Iterator[str]:
    """A sentence for each contract that would end later, in a month whose minimum or cap was charged by its days."""
    kept = {contract.id: contract for contract in after.contracts}
    for old in before.contracts:
        new = kept.get(old.id, old)
        if new.effective_to <= old.effective_to or not any(isinstance(term, Minimum | Cap) for term in old.terms):
            continue
        month, invoiced = period_of(old.effective_to - 1, old.zone), last_invoiced(old)
        if invoiced is not None and month <= invoiced and old.effective_to < month.end(old.zone):
            ends = format_instant(old.effective_to)
            yield (
                f"contract {old.id} has ended on {ends} and cannot end later: the minimum or cap of {month} was "
                f"invoiced by its days; declare a further contract of the customer with effective_from {ends}"
            )


def agreement_conflicts(before: World, after: World, closed_until: ClosedUntil) -> Iterator[str]:
    """A sentence for each agreement that would be another one for closed months. It may end behind them."""
    kept = {item.id: item for item in after.agreements}
    for old in before.agreements:
        new = kept.get(old.id)
        until = None if new == old else closed_until(old)
        if until is not None and old.begins < until and not _still_holds(old, new, until):
            day = format_instant(until).removesuffix("T00:00:00Z")
            yield (
                f"agreement {old.id} holds for months that are closed until {day} and can neither go nor change for "
                f"them; give it `to: {day}` or later, and declare another one `from` then; what was wrong before, a "
                "further agreement about the difference puts right"
            )


def model_conflicts(before: World, after: World, closed_until: ClosedUntil) -> Iterator[str]:
    """A sentence for each model that would be another partner's while a share of its usage is agreed.

    before: with the models of earlier worlds. Models may go; their usage stays their partner's.
    """
    partners = {model.id: model.partner for model in before.models}
    for model in after.models:
        old = partners.get(model.id, model.partner)
        shared = (
            item
            for item in (*before.agreements, *after.agreements)
            if item.kind == "resale_share" and item.partner in {old, model.partner}
        )
        if old != model.partner and any(item.begins < (closed_until(item) or item.begins) for item in shared):
            yield (
                f"model {model.id} is of {old} in months that are closed and settled by its agreements, and cannot be "
                f"of {model.partner}; declare a further model with an id of its own"
            )


def _still_holds(old: Agreement, new: Agreement | None, until: Instant) -> bool:
    """Whether nothing before the instant is agreed otherwise."""
    if new is None or msgspec.structs.replace(new, ends=old.ends) != old:
        return False
    return new.ends == old.ends or min(new.ends, old.ends) >= until
