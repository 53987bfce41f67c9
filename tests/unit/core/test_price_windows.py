"""Price windows: by the zone's own clocks, whatever they do."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.periods import DAY, MINUTE, parse_instant
from entrepot.core.price_windows import PriceWindow, parse_days, parse_minute, stretch_at

PEAK = PriceWindow("peak", "Europe/Berlin", (0, 1, 2, 3, 4), 8 * 60, 20 * 60)
NIGHT = PriceWindow("night", "America/New_York", (4, 5), 22 * 60, 6 * 60)
ODD = PriceWindow("odd", "Australia/Lord_Howe", (6,), 90, 150)


@pytest.mark.parametrize(
    ("at", "names"),
    [
        ("2026-03-27T06:59:59Z", ""),
        ("2026-03-27T07:00:00Z", "peak"),
        ("2026-03-30T05:59:59Z", ""),  # Summer time since the day before.
        ("2026-03-30T06:00:00Z", "peak"),
        ("2026-10-26T06:59:59Z", ""),  # And over again.
        ("2026-10-26T07:00:00Z", "peak"),
        ("2026-03-27T18:59:59.999999Z", "peak"),
        ("2026-03-27T19:00:00Z", ""),
        ("2026-03-28T12:00:00Z", ""),
    ],
)
def test_peak_hours_of_berlin(at: str, names: str) -> None:
    assert stretch_at([PEAK], parse_instant(at)).names == names


def test_a_window_past_midnight_belongs_to_the_day_it_began_on() -> None:
    told = {at: stretch_at([NIGHT], parse_instant(at)).names for at in (
        "2024-03-08T21:59:00-05:00",  # A Friday.
        "2024-03-08T22:00:00-05:00",
        "2024-03-09T05:59:00-05:00",
        "2024-03-09T06:00:00-05:00",
        "2024-03-10T04:00:00-04:00",  # The clocks went forward within it.
        "2024-03-10T22:30:00-04:00",
        "2024-03-11T01:00:00-04:00",
    )}  # fmt: skip
    assert list(told.values()) == ["", "night", "night", "", "night", "", ""]


@given(
    st.integers(parse_instant("2023-12-30"), parse_instant("2027-01-02")),
    st.lists(st.sampled_from([PEAK, NIGHT, ODD]), unique=True, max_size=3),
    st.randoms(use_true_random=False),
)
def test_all_of_a_stretch_is_in_the_windows_it_names(
    at: int, windows: list[PriceWindow], chance: random.Random
) -> None:
    stretch = stretch_at(windows, at)
    assert stretch.begins <= at < stretch.ends <= stretch.begins + DAY
    for instant in (stretch.begins, at, stretch.ends - 1, chance.randrange(stretch.begins, stretch.ends)):
        assert stretch.names == " ".join(window.name for window in windows if _is_within(window, instant))


def _is_within(window: PriceWindow, at: int) -> bool:
    """The same by the calendar: whether the clock shows a time between one of the window's days' begin and end."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(ZoneInfo(window.zone))
    clock = local.replace(tzinfo=None)
    for back in (0, 1):
        day = (clock - timedelta(days=back)).replace(hour=0, minute=0, second=0, microsecond=0)
        ends = window.to_minute + (1440 if window.to_minute <= window.from_minute else 0)
        if day.weekday() in window.days and (
            day + timedelta(minutes=window.from_minute) <= clock < day + timedelta(minutes=ends)
        ):
            return True
    return False


ALL_DAY = PriceWindow("shift", "Asia/Kolkata", (6,), 8 * 60, 8 * 60)
TRANSITIONS = {
    "Europe/Berlin": ("2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z"),
    "America/New_York": ("2024-03-10T07:00:00Z", "2024-11-03T06:00:00Z"),
    "Australia/Lord_Howe": ("2024-04-06T15:00:00Z", "2024-10-05T15:30:00Z"),
}


@pytest.mark.parametrize(("zone", "transition"), [(zone, at) for zone, both in TRANSITIONS.items() for at in both])
def test_a_stretch_ends_where_clocks_change(zone: str, transition: str) -> None:
    """Around a change of clocks every instant is told right, and a stretch claims nothing beyond it."""
    window = PriceWindow("early", zone, tuple(range(7)), 100, 170)
    change = parse_instant(transition)
    for at in [change + by * MINUTE + more for by in range(-240, 240, 7) for more in (-1, 0, 1)]:
        stretch = stretch_at([window], at)
        assert stretch.begins <= at < stretch.ends
        for instant in (stretch.begins, stretch.ends - 1, (stretch.begins + stretch.ends) // 2):
            assert bool(stretch.names) == _is_within(window, instant)


@pytest.mark.parametrize("edge", ["07:00", "19:00", "23:00"])
def test_a_stretch_holds_the_instant_at_its_edge(edge: str) -> None:
    for more in (-1, 0, 1):
        at = parse_instant(f"2026-03-26T{edge}:00Z") + more
        stretch = stretch_at([PEAK], at)
        assert stretch.begins <= at < stretch.ends
        assert bool(stretch.names) == _is_within(PEAK, at)


def test_without_windows_a_stretch_is_the_day() -> None:
    at = parse_instant("2026-03-26T12:34:56Z")
    assert stretch_at([], at) == (parse_instant("2026-03-26"), parse_instant("2026-03-27"), "")


def test_windows_that_overlap_are_named_in_their_order() -> None:
    at = parse_instant("2026-03-27T11:00:00Z")
    late = PriceWindow("late", "UTC", (4,), 0, 24 * 60)
    assert stretch_at([late, PEAK], at).names == "late peak"


def test_a_window_that_ends_when_it_begins_is_a_whole_day() -> None:
    assert ALL_DAY.holds(6, 8 * 60)
    assert ALL_DAY.holds(6, 23 * 60)
    assert ALL_DAY.holds(0, 8 * 60 - 1)  # A Monday: the Sunday goes on.
    assert not ALL_DAY.holds(0, 8 * 60)
    assert not ALL_DAY.holds(6, 8 * 60 - 1)


def test_days_and_times_are_read_as_people_write_them() -> None:
    assert parse_days("mon-fri") == (0, 1, 2, 3, 4)
    assert parse_days("fri-mon, wed") == (0, 2, 4, 5, 6)
    assert parse_days("daily") == tuple(range(7))
    assert [parse_minute(text) for text in ("00:00", "08:30", "24:00")] == [0, 510, 1440]


@pytest.mark.parametrize("text", ["8:00", "24:01", "12:60", "noon", "12.00", ""])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time of day"):
        parse_minute(text)


@pytest.mark.parametrize("text", ["", "mon-", "monday", "-fri", "mon;tue", "mon-tue-wed"])
def test_what_are_no_days_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="are not days"):
        parse_days(text)
