"""Calendars and clocks, worked out from the rules themselves; no zone files, no datetime.

Instants are microseconds since 1970 in UTC. A zone is what its clocks are ahead of UTC by, in minutes, and the rule by
which they change.  Source of the rules: IANA time zone database, as of 2024 to 2026.
"""

from bisect import bisect_right
from functools import cache
from typing import NamedTuple

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FIRST_YEAR, LAST_YEAR = 2022, 2028

_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Local(NamedTuple):
    """What a zone's calendar and clocks show. weekday: 0 is Monday. minute: of the day."""

    year: int
    month: int
    day: int
    weekday: int
    minute: int


def is_leap(year: int) -> bool:
    """Whether February has 29 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_days(year: int, month: int) -> int:
    """How many days a month has."""
    return 29 if month == 2 and is_leap(year) else _LENGTHS[month - 1]


@cache
def day_number(year: int, month: int, day: int) -> int:
    """Days since the beginning of 1970, counted one year and one month after the other."""
    days = sum(366 if is_leap(before) else 365 for before in range(1970, year))
    return days + sum(month_days(year, before) for before in range(1, month)) + day - 1


_MONTHS = [(year, month) for year in range(FIRST_YEAR, LAST_YEAR + 1) for month in range(1, 13)]
_FIRSTS = [day_number(year, month, 1) for year, month in _MONTHS]


def _sunday(year: int, month: int, which: int) -> int:
    """The day number of a month's Sunday of this number; -1 is the last."""
    first = day_number(year, month, 1)
    sundays = [day for day in range(first, first + month_days(year, month)) if (day + 3) % 7 == 6]
    return sundays[which]


class _Zone(NamedTuple):
    """changes: instants from which clocks are ahead by so many minutes."""

    starts: list[int]
    ahead: list[int]


def _fixed(minutes: int) -> _Zone:
    return _Zone([-(2**62)], [minutes])


def _changing(standard: int, summer: int, changes: list[tuple[int, bool]]) -> _Zone:
    changes = sorted(changes)
    before = not changes[0][1]
    ahead = [summer if is_summer else standard for is_summer in (before, *(after for _, after in changes))]
    return _Zone([-(2**62), *(at for at, _ in changes)], ahead)


_YEARS = range(FIRST_YEAR, LAST_YEAR + 1)
ZONES: dict[str, _Zone] = {
    "UTC": _fixed(0),
    "Asia/Tokyo": _fixed(9 * 60),
    "Asia/Kolkata": _fixed(5 * 60 + 30),
    "Asia/Kathmandu": _fixed(5 * 60 + 45),
    # Last Sundays of March and October, at 01:00 UTC.
    "Europe/Berlin": _changing(
        60,
        120,
        [(_sunday(year, 3, -1) * DAY + HOUR, True) for year in _YEARS]
        + [(_sunday(year, 10, -1) * DAY + HOUR, False) for year in _YEARS],
    ),
    # Second Sunday of March at 02:00 standard time, first Sunday of November at 02:00 summer time.
    "America/New_York": _changing(
        -5 * 60,
        -4 * 60,
        [(_sunday(year, 3, 1) * DAY + 7 * HOUR, True) for year in _YEARS]
        + [(_sunday(year, 11, 0) * DAY + 6 * HOUR, False) for year in _YEARS],
    ),
    # First Sunday of October at 02:00 standard time, first Sunday of April at 02:00 summer time, by half an hour.
    "Australia/Lord_Howe": _changing(
        10 * 60 + 30,
        11 * 60,
        [(_sunday(year, 10, 0) * DAY + 2 * HOUR - (10 * 60 + 30) * MINUTE, True) for year in _YEARS]
        + [(_sunday(year, 4, 0) * DAY + 2 * HOUR - 11 * 60 * MINUTE, False) for year in _YEARS],
    ),
}


def wall(at: int, zone: str) -> int:
    """What the zone's clocks show, as microseconds since they showed the beginning of 1970."""
    known = ZONES[zone]
    return at + known.ahead[bisect_right(known.starts, at) - 1] * MINUTE


def local(at: int, zone: str) -> Local:
    """What the zone's calendar and clocks show."""
    days, since_midnight = divmod(wall(at, zone), DAY)
    place = bisect_right(_FIRSTS, days) - 1
    year, month = _MONTHS[place]
    return Local(year, month, days - _FIRSTS[place] + 1, (days + 3) % 7, since_midnight // MINUTE)


@cache
def midnight(year: int, month: int, day: int, zone: str) -> int:
    """The instant at which a date begins in the zone. None of the zones here changes its clocks at midnight."""
    shown = day_number(year, month, day) * DAY
    return next(at for ahead in ZONES[zone].ahead if wall(at := shown - ahead * MINUTE, zone) == shown)


def month_of(at: int, zone: str) -> str:
    """The month, such as "2024-03", that holds the instant."""
    shown = local(at, zone)
    return f"{shown.year}-{shown.month:02d}"


@cache
def following(month: str) -> str:
    """The month after."""
    year, number = map(int, month.split("-"))
    return f"{year + 1}-01" if number == 12 else f"{year}-{number + 1:02d}"


@cache
def begins(month: str, zone: str) -> int:
    """The first instant of a month."""
    year, number = map(int, month.split("-"))
    return midnight(year, number, 1, zone)
