"""A request in the units of a limit: before it is served, and after."""

from typing import Final

from entrepot.admission.allotments import Allotment
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.estimate import Estimate
from entrepot.core.periods import Instant
from entrepot.core.provisioned import load_of
from entrepot.core.tokens import CACHED_TIER, TOKEN_METERS

MEASURES: Final = ("requests", "tokens", "load", "money", "priority_tokens")

_REQUESTS: Final = MEASURES.index("requests")
_LOAD: Final = MEASURES.index("load")
_PRIORITY_TOKENS: Final = MEASURES.index("priority_tokens")
_TOKEN_METERS: Final = TOKEN_METERS  # Bound once; see decisions/0009.


class MetLimit:
    """A limit as the requests of one process meet it: what each of them reads of it is at hand, see decisions/0009.

    number: of its measure. begins, ends, counts_batches, output_weight: see ServedLimit. allotment: what the process
    has drawn of it, as it was looked up last.
    """

    __slots__ = (
        "allotment", "begins", "counts_batches", "ends", "is_bucket", "is_budget", "limit", "measure", "number",
        "output_weight", "served", "units",
    )  # fmt: skip

    def __init__(self, served: ServedLimit) -> None:
        self.served = served
        limit: Limit = served.limit
        self.limit = limit
        self.measure = limit.measure
        self.number = MEASURES.index(limit.measure)
        self.units = limit.units
        self.is_bucket = limit.refill == "bucket"
        self.is_budget = limit.refill == "budget"
        self.begins: Instant = served.begins
        self.ends: Instant = served.ends
        self.counts_batches = served.counts_batches
        self.output_weight = served.output_weight
        self.allotment: Allotment | None = None

    @property
    def counts_requests(self) -> bool:
        """Whether a request is one unit, whatever it uses."""
        return self.number == _REQUESTS


def expected(limit: MetLimit, estimate: Estimate) -> int:
    """The units to hold, at least one. A guess of the output alone never makes a request too large for a limit."""
    if limit.counts_requests:
        return 1
    prompt = estimate.prompt_tokens
    if limit.number == _LOAD:
        return max(1, prompt + limit.output_weight * estimate.output_tokens)
    if limit.is_budget:
        return max(1, estimate.prompt_tokens_max + estimate.output_tokens_max)
    units = max(1, prompt + estimate.output_tokens)
    return max(prompt, min(units, limit.units)) if estimate.is_guess else units


def used_up(limit: MetLimit, meters: dict[str, int], tier: str) -> int:
    """The units of what was used, by meter, at the tier it was served at. What is repeated from a cache is used, but
    takes nothing of what a model can do; what an upstream served at another tier is no use of priority.
    """
    if limit.counts_requests:
        return 1
    if tier == CACHED_TIER and not limit.is_budget:
        return 0
    if limit.number == _PRIORITY_TOKENS and tier != "priority":
        return 0
    if limit.number == _LOAD:
        return load_of(limit.output_weight, meters)
    tokens = 0
    for meter, quantity in meters.items():
        if meter in _TOKEN_METERS:
            tokens += quantity
    return tokens
