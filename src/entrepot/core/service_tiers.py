"""Tiers of service that a request may choose, what a model says of them, and how fast use of `priority` may grow.

The ramp goes by quarter hours, counted from the epoch: the next may have half as many tokens again as the one before.
Tokens of a quarter hour so far are held against the minutes of it that have begun, so what was not used early in it may
be used later. A deployment may always use the rate its model gives away. All arithmetic is exact.
"""

from itertools import count
from typing import Literal

import msgspec

from entrepot.core.periods import MINUTE, Instant
from entrepot.core.tokens import BATCH_TIER

ServiceTier = Literal["default", "priority", "flex"]

_STANDARD = frozenset({"default", "standard"})  # The same, in the words of different upstreams.
_SAID: dict[str, ServiceTier] = {
    **dict.fromkeys(_STANDARD, "default"),
    "priority": "priority",
    "fast": "priority",
    "flex": "flex",
}

QUARTER_MINUTES = 15
QUARTER = QUARTER_MINUTES * MINUTE


class PriorityRules(msgspec.Struct, frozen=True):
    """How a model is offered at `priority`. prompt_tokens_max: of a request, 0 for as many as its context has.

    growth_percent: of a quarter hour over the one before. tokens_per_minute_free: that may be used whatever was before.
    """

    prompt_tokens_max: int = 0
    growth_percent: int = 50
    tokens_per_minute_free: int = 1_000_000

    def __str__(self) -> str:
        return _said(self)


class FlexRules(msgspec.Struct, frozen=True):
    """How a model is offered at `flex`. busy_percent_max: of what an upstream takes at a time, so much may be in use
    before flex requests are refused there.
    """

    busy_percent_max: int = 50

    def __str__(self) -> str:
        return _said(self)


class ServiceTiers(msgspec.Struct, frozen=True):
    """What a model is offered at beside `default`."""

    priority: PriorityRules | None = None
    flex: FlexRules | None = None

    def __str__(self) -> str:
        return _said(self)


def billed_tier(admitted: str, said: str) -> str:
    """The tier that a request is billed at. said: by its upstream, of the tier it was served at; "" for nothing.

    The upstream's word counts where `priority` could not be had. Nothing it says makes a request dearer than it was
    admitted at, and no other word of it changes anything.
    """
    return "default" if admitted == "priority" and said in _STANDARD else admitted


def owed_tier(billed: str, said: str = "") -> str:
    """The tier that an upstream is owed for. said: by it, of the tier it served at; "" for nothing.

    Where it says nothing that is known, that which it was asked for: the requests of a batch are ordinary ones to it.
    """
    return _SAID.get(said, "default" if billed == BATCH_TIER else billed)


def quarter_of(at: Instant) -> int:
    """The number of the quarter hour that an instant is in."""
    return at // QUARTER


def window_of(quarter: int) -> Instant:
    """How long a window of a counter must be, counted from the epoch, to have this quarter hour and the next in one."""
    return QUARTER * next(quarters for quarters in count(2) if quarter % quarters < quarters - 1)


def tokens_allowed(rules: PriorityRules, before: int, at: Instant) -> int:
    """Tokens of this quarter hour that may be used up to the end of this minute. before: tokens of the last one."""
    in_all = max(QUARTER_MINUTES * rules.tokens_per_minute_free, before * (100 + rules.growth_percent) // 100)
    return in_all * (at % QUARTER // MINUTE + 1) // QUARTER_MINUTES


def _said(rules: msgspec.Struct) -> str:
    said = ((name, getattr(rules, name)) for name in rules.__struct_fields__)
    return ", ".join(f"{name} ({value})" for name, value in said if value is not None)
