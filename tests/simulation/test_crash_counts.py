"""The comparison of crash runs finds what it is for: each way in which a request can be booked wrongly."""

from collections.abc import Mapping
from typing import Any

import pytest

from entrepot.core.log_records import Admitted, Attempted, AttemptEnded, LogRecord, UsageRecorded
from entrepot.core.usage_event import Outcome, Source, UsageEvent
from tests.simulation.crash_counts import Counts, Logged

METERS = {"input_tokens": 2, "output_tokens": 3}


def admitted(upstream: str = "own") -> Admitted:
    return Admitted("r", 1, "gateway", "acme", "search", "chat", "m", "default", upstream, "k", 9)


def event(
    meters: Mapping[str, int] = METERS, upstream: str = "own", source: Source = "reported", outcome: Outcome = "stop"
) -> UsageEvent:
    found = dict(meters)
    return UsageEvent("r", 1, 2, "acme", "search", "chat", "m", "default", found, source, outcome, upstream)


def line(output: int = 3, **more: Any) -> dict[str, Any]:
    return {"id": "r", "state": "finished", "stream": True, "meters": {}} | more | {
        "usage": {"prompt_tokens": 2, "completion_tokens": output}
    }  # fmt: skip


def faults(
    *records: LogRecord,
    served: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"r": line()}, {}),
    booked: Mapping[str, int] | None = METERS,
    told: Mapping[str, int] | None = None,
    answered_by: Mapping[str, str] | None = None,
) -> list[str]:
    books = {} if booked is None else {"r": {"meters": dict(booked)}}
    knows = {} if told is None else {"r": dict(told)}
    return list(Counts(Logged(records), list(served), books, knows, answered_by or {}).faults())


def recorded(*events: UsageEvent) -> list[LogRecord]:
    return [admitted(events[0].upstream), *map(UsageRecorded, events)]


def test_what_is_equal_is_no_fault() -> None:
    assert faults(*recorded(event()), told=METERS) == []


def test_the_same_event_twice_is_one() -> None:
    assert faults(*recorded(event(), event())) == []


@pytest.mark.parametrize(
    ("records", "more", "says"),
    [
        ([], {}, "the log knows nothing"),
        ([admitted()], {"booked": None}, "0 usage events"),
        (recorded(event(), event({"output_tokens": 4})), {}, "2 usage events"),
        (recorded(event()), {"booked": None}, "the books have None"),
        (recorded(event()), {"booked": {"output_tokens": 3}}, "the books have"),
        (recorded(event()), {"served": ({"r": line(4)}, {})}, "reported wrongly"),
        (recorded(event()), {"served": ({}, {})}, "reported wrongly"),
        (recorded(event()), {"told": {"output_tokens": 4}}, "its client was told"),
        (recorded(event({})), {"booked": {}}, "reported wrongly"),
        (recorded(event()), {"answered_by": {"r": "west"}}, "it was answered by west"),
        (recorded(event(source="estimated")), {}, "estimated wrongly"),
        (recorded(event(upstream="west")), {}, "the log knows nothing"),
    ],
)
def test_what_is_wrong_is_said(records: list[LogRecord], more: dict[str, Any], says: str) -> None:
    found = faults(*records, **more)
    assert found
    assert any(says in fault for fault in found), found


@pytest.mark.parametrize(("output", "is_right"), [(0, True), (3, True), (4, False)])
def test_an_estimate_is_never_more_of_an_answer_than_was_served(output: int, is_right: bool) -> None:
    meters = {"input_tokens": 9, "output_tokens": output}
    records = recorded(event(meters, "plain", "estimated", "gateway_lost"))
    assert (faults(*records, booked=meters) == []) is is_right


def test_an_estimate_of_an_answer_that_came_whole_is_a_fault() -> None:
    meters = {"input_tokens": 9, "output_tokens": 3}
    [fault] = faults(*recorded(event(meters, "plain", "estimated")), booked=meters, told={})
    assert "that its client had to its end" in fault


@pytest.mark.parametrize(("outcome", "is_right"), [("client_left", True), ("gateway_lost", True), ("stop", False)])
def test_nothing_is_booked_by_the_rule_no_bill_alone(outcome: Outcome, is_right: bool) -> None:
    cost = AttemptEnded("r", 1, 1, 2, "free", "client_left", meters=METERS, raw=b"u")
    found = faults(*recorded(event({}, "free", outcome=outcome)), *[cost] * is_right, booked={})
    assert any("reported wrongly" in fault for fault in found) is not is_right
    assert (found == []) is is_right


def raced(*ended: AttemptEnded) -> list[str]:
    """A request that west answered, of which east served five tokens."""
    won = UsageRecorded(event(upstream="west"))
    records: list[LogRecord] = [admitted("east"), Attempted("r", 2, 1, "west"), *ended, won]
    return faults(*records, served=({"r": line(5)}, {"r": line()}))


def outrun(output: int, number: int = 1) -> AttemptEnded:
    meters = {"input_tokens": 2, "output_tokens": output} if output else {}
    return AttemptEnded("r", number, 1, 2, "east", "outrun", meters=meters, raw=b"u" if output else b"")


def test_each_attempt_is_held_against_its_own_upstream() -> None:
    assert raced(outrun(5)) == []
    assert raced(outrun(0), outrun(5), outrun(5)) == [], "told at last, and once more"
    assert "east is owed" in raced(outrun(3))[0]


def test_what_an_upstream_that_can_be_asked_served_beside_the_answer_must_be_known_once() -> None:
    assert "east is owed" in raced()[0]
    assert "east is owed" in raced(outrun(0))[0]
    assert "east is owed" in raced(outrun(5), outrun(5, number=3))[0]


def test_attempts_are_waited_for_until_their_upstreams_are_asked() -> None:
    refused = AttemptEnded("r", 2, 1, 2, "east", "refused", 503)
    elsewhere = AttemptEnded("r", 3, 1, 2, "plain", "broken")
    assert Logged([outrun(0), refused, elsewhere]).untold() == {("r", 1)}
    assert Logged([outrun(0), outrun(5)]).untold() == set()
