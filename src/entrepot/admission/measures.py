"""A request in the units of a limit: before it is served, and after."""

from entrepot.admission.budgets import ServedBudget
from entrepot.core.capacity import Estimate, ServedLimit, Used
from entrepot.core.provisioned import load_of
from entrepot.core.tokens import CACHED_TIER, TOKEN_METERS


def expected(served: ServedLimit, estimate: Estimate) -> int:
    """The units to hold, at least one. A guess of the output alone never makes a request too large for a limit."""
    limit = served.limit
    if limit.measure == "requests":
        return 1
    if limit.measure == "load":
        return max(1, estimate.prompt_tokens + served.output_weight * estimate.output_tokens)
    if limit.refill == "budget":
        return max(1, estimate.prompt_tokens_max + estimate.output_tokens_max)
    units = max(1, estimate.prompt_tokens + estimate.output_tokens)
    return max(estimate.prompt_tokens, min(units, limit.units)) if estimate.is_guess else units


def used_up(served: ServedLimit | ServedBudget, used: Used) -> int:
    """The units that were used. What is repeated from a cache is used, but takes nothing of what a model can do; what
    an upstream served at another tier is no use of priority.
    """
    if isinstance(served, ServedBudget):
        return served.used(used)
    limit = served.limit
    measure = limit.measure
    if measure == "requests":
        return 1
    if used.tier == CACHED_TIER and limit.refill != "budget":
        return 0
    if measure == "priority_tokens" and used.tier != "priority":
        return 0
    if measure == "load":
        return load_of(served.output_weight, used.meters)
    tokens = 0
    for meter, quantity in used.meters.items():
        if meter in TOKEN_METERS:
            tokens += quantity
    return tokens
