"""A leak of a thousandth is found in its day, model and key, and nowhere else."""

import pytest

from entrepot.core.periods import DAY, SECOND
from tests.support.partner_month import FIRST, findings, lost, requests, told

DAYS = 7
EVENTS = requests(DAYS + 1, 350)
WITHIN = [event for event in EVENTS if event.admitted_at < FIRST + DAYS * DAY]


@pytest.mark.parametrize("clock_us", [0, 3 * SECOND, -3 * SECOND])
def test_midnights_are_no_alarm(clock_us: int) -> None:
    assert any(event.admitted_at // DAY != event.finished_at // DAY for event in WITHIN)
    assert findings(EVENTS, told(EVENTS, clock_us), DAYS) == []


@pytest.mark.parametrize("day", [0, 1, 6])
@pytest.mark.parametrize(("model", "upstream"), [("gpt-4", "east"), ("gpt-4o", "west")])
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_thousandth_is_found_where_it_is(day: int, model: str, upstream: str, whose: str) -> None:
    gone = lost(WITHIN, day, model, upstream, 0.001)
    kept = [event for event in EVENTS if event.id not in gone]
    ours, theirs = (kept, EVENTS) if whose == "ours" else (EVENTS, kept)
    found = findings(ours, told(theirs, 2 * SECOND), DAYS)
    assert {(item.day, item.model, item.upstream) for item in found} == {(f"2024-03-{day + 1:02d}", model, upstream)}
    assert {item.kind for item in found} == {"more" if whose == "ours" else "less"}
    missing = sum(sum(event.meters.values()) for event in EVENTS if event.id in gone)
    assert 0.5 * missing < sum(abs(int(item.lasting)) for item in found) <= missing


def test_two_leaks_are_two() -> None:
    gone = lost(WITHIN, 1, "gpt-4", "east", 0.002) | lost(WITHIN, 5, "gpt-4", "east", 0.002)
    found = findings([event for event in EVENTS if event.id not in gone], told(EVENTS), DAYS)
    assert {item.day for item in found} == {"2024-03-02", "2024-03-06"}


def test_a_key_that_nobody_here_used_and_a_day_that_nobody_told() -> None:
    silent = [event for event in EVENTS if (event.model, event.upstream) != ("gpt-4", "east")]
    found = findings(silent, told(EVENTS), DAYS)
    assert {(item.kind, item.model, item.upstream) for item in found} == {("unknown", "gpt-4", "east")}
    assert len({item.day for item in found}) == DAYS
    found = findings(EVENTS, told(silent), DAYS)
    assert {item.kind for item in found} == {"missing"}
