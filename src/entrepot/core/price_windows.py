"""Price windows: hours of the week, by a zone's own clocks, in which prices differ.

The class of usage is fixed by the instant of its admission. Clocks that are put forward or back move the window with
them, so nothing here adds hours to a local time: a stretch is only claimed as far as the zone keeps its offset.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from entrepot.core.periods import DAY, HOUR, MINUTE, SECOND, Instant, local_time

_EPOCH_WEEKDAY = 3  # A Thursday.
_MINUTES_OF_DAY = 24 * 60


class PriceWindow(msgspec.Struct, frozen=True):
    """[from, to) in minutes of the local day, on days of the week (0 is Monday).

    A window whose end is not after its beginning goes on past midnight; it belongs to the day it began on.
    """

    name: str
    zone: str
    days: tuple[int, ...]
    from_minute: int
    to_minute: int

    def holds(self, weekday: int, minute: int) -> bool:
        """Whether a local time is within it."""
        if self.from_minute < self.to_minute:
            return weekday in self.days and self.from_minute <= minute < self.to_minute
        began_today = weekday in self.days and minute >= self.from_minute
        return began_today or ((weekday - 1) % 7 in self.days and minute < self.to_minute)


class Stretch(NamedTuple):
    """A time [begins, ends) all of which is in these windows, named in their order with spaces between."""

    begins: Instant
    ends: Instant
    names: str


def stretch_at(windows: Iterable[PriceWindow], at: Instant) -> Stretch:
    """A stretch that holds the instant; not always the longest."""
    begins = at - at % DAY
    ends, names = begins + DAY, []
    for window in windows:
        offset = _offset_at(window, at)
        days, since_midnight = divmod(at + offset, DAY)
        if window.holds((days + _EPOCH_WEEKDAY) % 7, since_midnight // MINUTE):
            names.append(window.name)
        midnight = at - since_midnight
        for edge in (0, DAY, window.from_minute * MINUTE, window.to_minute * MINUTE):
            if midnight + edge <= at:
                begins = max(begins, midnight + edge)
            else:
                ends = min(ends, midnight + edge)
        begins, ends = _within_offset(window, at, begins, ends)
    return Stretch(begins, ends, " ".join(names))


def _within_offset(window: PriceWindow, at: Instant, begins: Instant, ends: Instant) -> tuple[Instant, Instant]:
    """The part around the instant in which the zone keeps its offset from UTC; offsets change at whole seconds."""
    for grain in (HOUR, MINUTE, SECOND):
        if _offset_at(window, begins) == _offset_at(window, at) == _offset_at(window, ends - 1):
            break
        begins, ends = max(begins, at - at % grain), min(ends, at - at % grain + grain)
    return begins, ends


def _offset_at(window: PriceWindow, at: Instant) -> int:
    """What the window's clocks are ahead of UTC, in microseconds."""
    return local_time(at, window.zone) - at


def parse_minute(text: str) -> int:
    """The minute of the day of "08:00" to "24:00". Raises: ValueError with a sentence for the user."""
    hours, colon, minutes = text.partition(":")
    if colon and len(hours) == len(minutes) == 2 and hours.isdigit() and minutes.isdigit():
        minute = int(hours) * 60 + int(minutes)
        if int(minutes) < 60 and minute <= _MINUTES_OF_DAY:
            return minute
    raise ValueError(f'{text!r} is not a time of day from "00:00" to "24:00"')


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def parse_days(text: str) -> tuple[int, ...]:
    """The days of "mon-fri", "sat,sun" or "daily". Raises: ValueError with a sentence for the user."""
    if text == "daily":
        return tuple(range(7))
    days: set[int] = set()
    for part in text.split(","):
        ends_of = part.strip().split("-")
        if len(ends_of) > 2 or any(day not in _DAYS for day in ends_of):
            raise ValueError(f'{text!r} are not days such as "mon-fri", "sat,sun" or "daily"')
        begins, ends = _DAYS.index(ends_of[0]), _DAYS.index(ends_of[-1])
        days.update((begins + day) % 7 for day in range((ends - begins) % 7 + 1))
    return tuple(sorted(days))
