"""Usage records become the same events whatever wrote them, and what is wrong with one is said in a sentence."""

import json
from typing import Any

import pytest

from entrepot.core.periods import parse_instant
from entrepot.core.tokens import METERS
from entrepot.core.usage_event import QUANTITY_MAX, UsageEvent, payload_digest
from entrepot.metering.usage_file import COLUMNS, REQUIRED, ParsedRows, parse_rows
from entrepot.ports.usage_rows import RawRow, RowBatch, RowFault

RECORD: dict[str, Any] = {
    "id": "r-1",
    "admitted_at": "2024-03-05T08:00:00.125Z",
    "finished_at": "2024-03-05T08:00:02.400Z",
    "customer": "tiktok",
    "project": "search",
    "deployment": "chat",
    "model": "gpt-4",
    "tier": "default",
    "meters": {"input_tokens": 812, "cached_input_tokens": 0, "output_tokens": 144},
    "source": "reported",
    "corrects": None,
}


def test_the_record_of_the_contracts_is_read() -> None:
    event = event_of(RECORD)
    assert event == UsageEvent(
        id="r-1",
        admitted_at=parse_instant("2024-03-05T08:00:00.125Z"),
        finished_at=parse_instant("2024-03-05T08:00:02.400Z"),
        customer="tiktok",
        project="search",
        deployment="chat",
        model="gpt-4",
        tier="default",
        meters={"input_tokens": 812, "output_tokens": 144},
        source="reported",
        outcome="imported",
    )


def test_what_may_be_left_out_may_be_left_out() -> None:
    event = event_of({name: RECORD[name] for name in (*REQUIRED, "meters")})
    assert (event.finished_at, event.project, event.tier, event.source) == (
        event.admitted_at,
        "",
        "default",
        "reported",
    )


def test_cells_of_text_and_json_give_the_same_event() -> None:
    cells = {**RECORD, "meters": {"output_tokens": "144", "input_tokens": "812"}}
    del cells["corrects"]
    assert payload_digest(parsed(cells).events[0]) == payload_digest(event_of(RECORD))


def test_a_meter_of_nothing_and_no_meter_are_the_same_usage() -> None:
    without = {**RECORD, "meters": {"output_tokens": 144, "input_tokens": 812}}
    assert payload_digest(event_of(without)) == payload_digest(event_of(RECORD))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-03-05T08:00:00Z", "2024-03-05T08:00:00Z"),
        ("2024-03-05T08:00:00.1Z", "2024-03-05T08:00:00.100000Z"),
        ("2024-03-05T09:00:00.1234567+01:00", "2024-03-05T08:00:00.123456Z"),
        ("2024-03-05t08:00:00z", "2024-03-05T08:00:00Z"),
        ("2024-03-05 08:00:00.000000Z", "2024-03-05T08:00:00Z"),
    ],
)
def test_times_may_have_any_number_of_digits(text: str, same: str) -> None:
    assert event_of({**RECORD, "admitted_at": text, "finished_at": None}).admitted_at == parse_instant(same)


def test_a_finer_time_is_cut_not_rounded_so_that_it_stays_in_its_month() -> None:
    event = event_of({**RECORD, "admitted_at": "2024-03-31T23:59:59.9999999Z", "finished_at": None})
    assert event.admitted_at == parse_instant("2024-04-01T00:00:00Z") - 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": ""}, "id must have 1 to 128 characters"),
        ({"id": "x" * 129}, "id must have 1 to 128 characters"),
        ({"id": 7}, "id must be text, not a whole number"),
        ({"customer": ""}, "customer is missing"),
        ({"customer": "c" * 257}, "customer must be text of at most 256 characters"),
        ({"admitted_at": "yesterday"}, "admitted_at: 'yesterday' is not an RFC 3339 time"),
        ({"admitted_at": "2024-03-05T08:00:00"}, "admitted_at: '2024-03-05T08:00:00' has no zone"),
        ({"admitted_at": 1709625600}, "admitted_at must be text, not a whole number"),
        ({"admitted_at": "0001-01-01T00:00:00+23:59"}, "finished_at|admitted_at"),
        ({"finished_at": "2024-03-05T07:00:00Z"}, "finished_at is before admitted_at"),
        ({"tier": "gold"}, "tier 'gold' is not one of"),
        ({"source": "guessed"}, "source 'guessed' is not one of reported, counted, estimated"),
        ({"meters": {"tokens": 1}}, "meter 'tokens' is unknown"),
        ({"meters": {"tokens": 0}}, "meter 'tokens' is unknown"),
        ({"meters": {"input_tokens": -1}}, "input_tokens is negative and the record corrects nothing"),
        (
            {"meters": {"input_tokens": 1.5}},
            r"input_tokens \(1.5\) must be a whole number, not a number with a fraction",
        ),
        ({"meters": {"input_tokens": "many"}}, r"input_tokens \(many\) must be a whole number, not text"),
        ({"meters": {"input_tokens": True}}, r"input_tokens \(True\) must be a whole number, not true or false"),
        ({"meters": {"input_tokens": QUANTITY_MAX + 1}}, "input_tokens is more than"),
        ({"meters": {"input_tokens": 10**40}}, "input_tokens is more than"),
        ({"meters": None}, "meters must be an object, not null"),
        ({"meters": []}, "meters must be an object, not a list"),
        ({"colour": "red"}, "colour is not a column of a usage record"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(change: dict[str, Any], reason: str) -> None:
    fault = fault_of(json.dumps({**RECORD, **change}).encode())
    assert fault.line == 7
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(fault.reason)


@pytest.mark.parametrize("column", [*REQUIRED, "meters"])
def test_a_missing_column_is_named(column: str) -> None:
    assert (
        fault_of(json.dumps({k: v for k, v in RECORD.items() if k != column}).encode()).reason == f"{column} is missing"
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json", "is not a JSON object"),
        (b'{"id": "r-1"', "is not a JSON object"),
        (b"[]", "the line must be an object, not a list"),
        (b'{"id": "\xff"}', "is not UTF-8 text"),
        (b'{"id": "\\ud800"}', "is not a JSON object"),
        (b'{"id":' + b"[" * 5000 + b"]" * 5000 + b"}", "is not a JSON object|must be text"),
    ],
)
def test_a_line_that_is_no_record_is_a_fault_of_its_own(line: bytes, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(fault_of(line).reason)


def test_a_correction_may_be_negative() -> None:
    event = event_of({**RECORD, "id": "r-2", "corrects": "r-1", "meters": {"input_tokens": -12}})
    assert (event.corrects, event.meters) == ("r-1", {"input_tokens": -12})


def test_a_whole_number_stored_with_a_fraction_of_nothing_is_whole_in_columns_only() -> None:
    record = {**RECORD, "meters": {"input_tokens": 812.0}}
    assert parsed(record).events[0].meters == {"input_tokens": 812}
    assert fault_of(json.dumps(record).encode()).reason.endswith("must be a whole number, not a number with a fraction")


def test_good_rows_survive_their_neighbours() -> None:
    lines = [json.dumps(RECORD).encode(), b"rubbish", json.dumps({**RECORD, "id": "r-3"}).encode()]
    result = parse_rows(RowBatch([4, 5, 9], lines, [RowFault(line=6, reason="is too long", row="")]))
    assert [event.id for event in result.events] == ["r-1", "r-3"]
    assert sorted(fault.line for fault in result.faults) == [5, 6]


def test_no_meter_is_named_like_a_column() -> None:
    assert not METERS & set(COLUMNS)


def parsed(row: RawRow) -> ParsedRows:
    return parse_rows(RowBatch([7], [row]))


def event_of(record: dict[str, Any]) -> UsageEvent:
    result = parsed(json.dumps(record).encode())
    assert result.faults == []
    return result.events[0]


def fault_of(line: bytes) -> RowFault:
    result = parsed(line)
    assert result.events == []
    return result.faults[0]
