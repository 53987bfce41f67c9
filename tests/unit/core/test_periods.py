"""Instants and months, with the zones and the nights that break calendars."""

import zoneinfo

import pytest

from entrepot.core.periods import HOUR, Period, format_instant, hour_of, parse_instant, parse_period, period_of, zone_of


def test_rfc_3339_times_are_read_to_the_microsecond() -> None:
    assert parse_instant("1970-01-01T00:00:01.000001Z") == 1_000_001
    assert parse_instant("2024-03-05T09:00:00+01:00") == parse_instant("2024-03-05T08:00:00Z")
    assert format_instant(parse_instant("2024-03-05T08:00:00.125Z")) == "2024-03-05T08:00:00.125000Z"


def test_a_date_means_midnight_in_the_zone() -> None:
    assert parse_instant("2024-03-05", "Europe/Berlin") == parse_instant("2024-03-04T23:00:00Z")


def test_zones_are_those_of_the_locked_package() -> None:
    assert zoneinfo.TZPATH == ()
    assert zone_of("Europe/Berlin").key == "Europe/Berlin"


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "2024-03-05T08:00:00", ""])
def test_bad_times_say_what_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|no zone"):
        parse_instant(text)


@pytest.mark.parametrize(("period", "hours"), [("2026-03", 743), ("2026-10", 745), ("2026-04", 720), ("2024-02", 696)])
def test_a_month_in_berlin_has_the_hours_its_clocks_showed(period: str, hours: int) -> None:
    month = parse_period(period)
    assert month.end("Europe/Berlin") - month.start("Europe/Berlin") == hours * HOUR


def test_the_months_of_a_zone_meet_without_gap() -> None:
    december = Period(2024, 12)
    assert str(december.next()) == "2025-01"
    assert december.end("Asia/Kolkata") == december.next().start("Asia/Kolkata")
    assert period_of(december.end("Asia/Kolkata") - 1, "Asia/Kolkata") == december
    assert period_of(december.end("Asia/Kolkata"), "Asia/Kolkata") == december.next()


@pytest.mark.parametrize("text", ["2024", "2024-3", "2024-00", "2024-13", "march", "0000-01", "9999-12"])
def test_what_is_not_a_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a month"):
        parse_period(text)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="IANA"):
        zone_of("Mars/Olympus")


def test_the_hour_holds_its_start_and_not_its_end() -> None:
    assert hour_of(HOUR) == HOUR
    assert hour_of(2 * HOUR - 1) == HOUR


def test_months_are_those_that_instants_have() -> None:
    assert str(parse_period("1970-01")) == "1970-01"
    assert str(parse_period("9998-12")) == "9998-12"
    for text in ("1969-12", "9999-01"):
        with pytest.raises(ValueError, match="is not a month"):
            parse_period(text)
