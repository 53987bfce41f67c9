"""A request that a budget has no room for -> the error that says which, what is left of it, and what was asked for."""

from entrepot.admission.budgets import ServedBudget
from entrepot.core.draws import Shortage
from entrepot.core.errors import BudgetExceeded, Refusal
from entrepot.core.estimate import Estimate
from entrepot.core.money import format_pico
from entrepot.core.periods import Instant, format_instant

SOON_MS = 1000  # What others hold is mostly free again within a second or a few.


def budget_exceeded(
    budget: ServedBudget, units: int, estimate: Estimate, shortage: Shortage | None, at: Instant
) -> BudgetExceeded:
    """The error. shortage: None where the request is more than the whole budget.

    Trying again helps where the request would fit if others used nothing of what they hold.
    """
    served, limit = budget.met.served, budget.met.limit
    used = budget.spent if shortage is None else shortage.used
    spent = min(budget.spent, used)
    refusal = Refusal(
        limit=served.name,
        whose=served.whose,
        measure=limit.measure,
        units=limit.units,
        window_ms=0,
        used=used,
        requested=units,
        prompt_tokens=estimate.prompt_tokens_max,
        output_tokens=estimate.output_tokens_max,
        wait_ms=SOON_MS if units <= limit.units - spent and used > spent else None,
        can_ever_fit=shortage is not None,
        at=at,
        spent=spent,
        currency=budget.owned.currency if budget.costs is not None else "",
        cost=tuple(budget.parts),
        resets_at=budget.resets_at,
    )

    def said(count: int) -> str:
        return f"{format_pico(count, 2)} {refusal.currency}" if refusal.currency else f"{count} tokens"

    parts = ", ".join(f"{quantity} {meter} at most {said(pico)}" for meter, quantity, pico in budget.parts)
    if not parts:
        parts = f"{refusal.prompt_tokens} of its prompt, up to {refusal.output_tokens} of its answer"
    message = (
        f"{served.name[0].upper()}{served.name[1:]} of {served.whose} does not suffice: of {said(limit.units)}, "
        f"{said(spent)} are spent and {said(used - spent)} held, and this request may use {said(units)} ({parts})."
    )
    if budget.resets_at is not None:
        message += f" There is more from {format_instant(budget.resets_at)} on."
    return BudgetExceeded(message, refusal=refusal)
