"""Instants, hours and billing periods. An instant is an integer of microseconds since the epoch, UTC.

Windows are half-open.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, reset_tzpath

# Zones come from the locked tzdata package alone: the machine's own zone files must not decide what a month costs.
reset_tzpath(to=())

Instant = int

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
SET_BACK_US = 5 * SECOND  # When a clock is set back by no more than this, all stands still until its time comes again.
END_OF_TIME: Instant = 253_402_300_799 * SECOND  # 9999-12-31T23:59:59Z

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PERIOD = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)


def hour_of(at: Instant) -> Instant:
    """The start of the UTC hour that holds the instant."""
    return at - at % HOUR


def instant_of(moment: datetime) -> Instant:
    """The instant of an aware datetime, exact to the microsecond."""
    return (moment - _EPOCH) // _MICROSECOND


def parse_instant(text: str, zone: str = "UTC") -> Instant:
    """The instant of an RFC 3339 time, or of a date, which means 00:00 in zone.

    Raises: ValueError with a sentence for the user.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an RFC 3339 time or a date (2024-03-05T08:00:00Z or 2024-03-05)") from None
    if _DATE.fullmatch(text):
        moment = moment.replace(tzinfo=zone_of(zone))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone; write Z or an offset such as +01:00")
    return instant_of(moment.astimezone(UTC))


def format_instant(at: Instant) -> str:
    """RFC 3339 in UTC, with microseconds only where there are any: 2024-03-05T08:00:00Z."""
    moment = _EPOCH + timedelta(microseconds=at)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def local_time(at: Instant, zone: str) -> int:
    """What the zone's clocks show at the instant, in microseconds since they showed the beginning of 1970."""
    offset = (_EPOCH + timedelta(microseconds=at)).astimezone(zone_of(zone)).utcoffset()
    assert offset is not None
    return at + offset // _MICROSECOND


def zone_of(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises: ValueError with a sentence for the user."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Berlin") from None


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A billing period: one calendar month. Its bounds depend on the zone of the contract it is cut for."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    def next(self) -> "Period":
        """The month after."""
        return Period(self.year + self.month // 12, self.month % 12 + 1)

    def start(self, zone: str) -> Instant:
        """The first instant of the month in zone; computed once from the zone's rules, never by adding days."""
        return instant_of(datetime(self.year, self.month, 1, tzinfo=zone_of(zone)).astimezone(UTC))

    def end(self, zone: str) -> Instant:
        """The first instant after the month in zone."""
        return self.next().start(zone)


def parse_period(text: str) -> Period:
    """The period of "2024-03". Raises: ValueError with a sentence for the user."""
    match = _PERIOD.fullmatch(text)
    if match is None or not 1970 <= int(match[1]) < 9999:  # Beyond them a month has no bounds in some zone.
        raise ValueError(f"{text!r} is not a month such as 2024-03")
    return Period(int(match[1]), int(match[2]))


def period_of(at: Instant, zone: str) -> Period:
    """The month, in zone, that holds the instant."""
    local = (_EPOCH + timedelta(microseconds=at)).astimezone(zone_of(zone))
    return Period(local.year, local.month)
