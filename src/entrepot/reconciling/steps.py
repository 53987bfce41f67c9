"""Where two counts of the same things part for good, when each day's end may lie a little differently in both.

What was on its way at midnight may be counted on either day. So no day is judged alone: the difference summed from the
first day on may swing within what crossed the midnight behind each day, and comes back; what is missing stays missing.
The sum is laid through the swings as few level steps as there can be, and a step is a difference that lasts.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Midnight(NamedTuple):
    """What crossed a midnight: ours before it that they may count behind it, and ours behind it, the other way."""

    late: int
    early: int


class _Level(NamedTuple):
    """Days from `first` on whose summed difference can be one number in [low, high]."""

    first: int
    low: int
    high: int


def lasting_steps(differences: Sequence[int], midnights: Sequence[Midnight]) -> list[int]:
    """For each day how much of its difference lasts; 0 where crossing midnights can explain it.

    differences: theirs less ours, by day. midnights: the one before the first day, then the one behind each day.
    Of a step no more is told than what crossing cannot explain.
    """
    levels = _levels(differences, midnights)
    steps = [0] * len(differences)
    for before, after in pairwise(levels):
        up, down = after.low - before.high, before.low - after.high
        steps[after.first - 1] = up if up > 0 else -down
    return steps


def _levels(differences: Sequence[int], midnights: Sequence[Midnight]) -> list[_Level]:
    """The fewest levels. Bound 0 is the midnight before the first day; bound n the one behind day n."""
    levels: list[_Level] = []
    total, held = 0, _bounds(0, 0, midnights[0])
    for bound, midnight in enumerate(midnights[1:], start=1):
        total += differences[bound - 1]
        here = _bounds(bound, total, midnight)
        low, high = max(held.low, here.low), min(held.high, here.high)
        if low <= high:
            held = _Level(held.first, low, high)
        else:
            levels.append(held)
            held = here
    return [*levels, held]


def _bounds(bound: int, total: int, midnight: Midnight) -> _Level:
    """The lasting part of a summed difference, which also holds what crossed this midnight either way."""
    return _Level(bound, total - midnight.early, total + midnight.late)
