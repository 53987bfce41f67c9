"""Provisioned throughput: how many units a deployment has when, and what a unit of a model can do."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from entrepot.core.capacity import Limit
from entrepot.core.money import divide_half_up
from entrepot.core.periods import Instant, format_instant
from entrepot.core.tokens import CACHED_INPUT_METERS, INPUT_METERS, MINUTES_PER_HOUR, OUTPUT_METERS

Geography = Literal["global", "data_zone", "regional"]

# From the widest: where requests may be processed. What must stay within one may not go to a wider one.
GEOGRAPHIES: tuple[Geography, ...] = ("global", "data_zone", "regional")


class UnitsFrom(msgspec.Struct, frozen=True):
    """How many units there are from an instant on, until the next; 0 is a deleted deployment."""

    begins: Instant
    units: int

    def __str__(self) -> str:
        return f"{self.units} from {format_instant(self.begins)}" if self.begins else str(self.units)


class SizingRule(msgspec.Struct, frozen=True):
    """What a provisioned deployment of a model must have and can do, from an instant on.

    geography: None for all that no other rule is for. A unit does input_tokens_per_minute, of which each output token
    takes output_weight; with 0 that is not known. burst_s: how many seconds of its throughput a deployment takes at
    once, before it refuses; Azure does not publish its own.
    """

    minimum: int
    step: int
    input_tokens_per_minute: int = 0
    output_weight: int = 1
    geography: Geography | None = None
    begins: Instant = 0
    burst_s: int = 10

    def __str__(self) -> str:
        return (
            f"{self.geography or 'any'} from {self.minimum} by {self.step}, {self.input_tokens_per_minute} input tokens"
            f" a minute, output x{self.output_weight}, bursts of {self.burst_s} s"
            + (f", since {format_instant(self.begins)}" if self.begins else "")
        )


# Of a model that declares no rule. Source: Azure's minimum of global and data-zone deployments since December 2024.
DEFAULT_SIZING = SizingRule(minimum=15, step=5)


def sizing_at(rules: Iterable[SizingRule], geography: Geography, at: Instant) -> SizingRule | None:
    """The rule in force, or None where rules are declared and none holds yet.

    A rule for the geography goes before one for any.
    """
    declared = list(rules)
    if not declared:
        return DEFAULT_SIZING
    holding = [rule for rule in declared if rule.begins <= at and rule.geography in {geography, None}]
    return max(holding, key=lambda rule: (rule.geography is not None, rule.begins), default=None)


def minutes_pico(minutes: int, hourly_pico: int) -> int:
    """What unit minutes cost at the price of a unit hour, rounded half up to whole pico; below none, given back."""
    return divide_half_up(minutes * hourly_pico, MINUTES_PER_HOUR)


def load_of(output_weight: int, meters: Mapping[str, int]) -> int:
    """What usage takes of a deployment's throughput, in input tokens: those from the cache are free.

    output_weight: see SizingRule.   Source: Azure's documentation, how-to/provisioned-throughput-sizing.
    """
    fresh = sum(meters.get(meter, 0) for meter in INPUT_METERS if meter not in CACHED_INPUT_METERS)
    return fresh + output_weight * sum(meters.get(meter, 0) for meter in OUTPUT_METERS)


def units_for(rule: SizingRule, load_per_minute: int) -> int:
    """The fewest units that can be had and do so much in a minute."""
    assert rule.input_tokens_per_minute, "what a unit does is not known"
    needed = -(-load_per_minute // rule.input_tokens_per_minute)
    return rule.minimum + -(-max(0, needed - rule.minimum) // rule.step) * rule.step


def nearest_units(rule: SizingRule, units: int) -> tuple[int, ...]:
    """The counts that can be had next to this one: itself alone, or the one below, if any, and the one above."""
    if units < rule.minimum:
        return (rule.minimum,)
    below = units - (units - rule.minimum) % rule.step
    return (below,) if below == units else (below, below + rule.step)


def throughput_limit(counter: str, rule: SizingRule, units: int) -> Limit:
    """The limit of a deployment: a bucket that leaks at its throughput and holds burst_s of it."""
    drain = units * rule.input_tokens_per_minute
    return Limit(counter, "load", "bucket", drain * rule.burst_s // 60, drain=drain)
