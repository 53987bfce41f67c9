"""A sample of `make simulate`: invoices of the product and of a second calculation that shares no code with it."""

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from tests.oracle import calendar
from tests.oracle.compare import agree
from tests.oracle.generated import round_of
from tests.oracle.laws import broken_laws

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("seed", range(5))
def test_invoices_agree_line_by_line(seed: int) -> None:
    agreement = agree(seed)
    assert agreement.differences == []
    assert agreement.lines > 300


@pytest.mark.parametrize("seed", [6, 7])
def test_the_laws_of_arrival_hold(seed: int) -> None:
    assert broken_laws(seed) == []


def test_a_seed_makes_the_same_round() -> None:
    assert round_of(3) == round_of(3)
    assert round_of(3) != round_of(4)


@pytest.mark.parametrize("zone", list(calendar.ZONES))
def test_the_second_calendar_knows_the_zones(zone: str) -> None:
    chance = Random(zone)
    edges = [at for at in calendar.ZONES[zone].starts if at > 0]
    begins, end = (calendar.day_number(year, 1, 1) * calendar.DAY for year in (2023, 2028))
    at_edges = [edge + by for edge in edges for by in (-1, 0, 1) if begins < edge < end]
    for at in (*at_edges, *(chance.randrange(begins, end) for _ in range(500))):
        shown = (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))
        minute = shown.hour * 60 + shown.minute
        assert calendar.local(at, zone) == (shown.year, shown.month, shown.day, shown.weekday(), minute)
        month = calendar.month_of(at, zone)
        assert calendar.begins(month, zone) <= at < calendar.begins(calendar.following(month), zone)
