"""Log records and usage events: the wire form, the digest and the faults."""

import msgspec
import pytest

from entrepot.core import log_records
from entrepot.core.log_records import Admitted, LogRecord, UsageRecorded, decode_record, encode_record
from entrepot.core.usage_event import UsageEvent, faults, payload_digest

EVENT = UsageEvent(
    id="0001", admitted_at=1, finished_at=2, customer="tiktok", project="search", deployment="chat",
    model="gpt-4", tier="default", meters={"output_tokens": 144, "input_tokens": 812},
)  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        UsageRecorded(EVENT),
        Admitted("1", 2, "i", "c", "p", "d", "m", "default", "u", "k", 7),
        log_records.Progressed("1", 2, 3, (("2", 4),)),
        log_records.Abandoned("1", 2, "client_left", True, 3),
        log_records.InstanceLost("i", 1),
        log_records.WorldApplied(1, b"{}"),
        log_records.KeyIssued(1, "k", "d", "p", "n"),
        log_records.KeyRevoked(1, "k"),
        log_records.Marked(1),
        log_records.MonthClosed(1, "2024-03"),
        log_records.UsageUntold(EVENT, (("web_search_calls", 1),), "i", (("b", 2),)),
    ],
)
def test_every_record_comes_back_as_it_went(record: LogRecord) -> None:
    assert decode_record(encode_record(record)) == record


def test_the_order_of_meters_does_not_matter() -> None:
    other = msgspec.structs.replace(EVENT, meters={"input_tokens": 812, "output_tokens": 144})
    assert encode_record(UsageRecorded(other)) == encode_record(UsageRecorded(EVENT))
    assert payload_digest(other) == payload_digest(EVENT)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "0002"},
        {"admitted_at": 0},
        {"customer": "x"},
        {"meters": {"input_tokens": 812}},
        {"raw": b"{}"},
        {"corrects": "0"},
        {"source": "counted"},
    ],
)
def test_any_change_changes_the_digest(change: dict[str, object]) -> None:
    assert payload_digest(msgspec.structs.replace(EVENT, **change)) != payload_digest(EVENT)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"id": ""}, "id must have"),
        ({"customer": ""}, "customer is missing"),
        ({"model": ""}, "model is missing"),
        ({"tier": "gold"}, "tier 'gold'"),
        ({"finished_at": 0}, "finished_at is before"),
        ({"meters": {"tokens": 1}}, "meter 'tokens' is unknown"),
        ({"meters": {"input_tokens": -1}}, "is negative"),
    ],
)
def test_faults_name_what_is_wrong(change: dict[str, object], fault: str) -> None:
    assert faults(EVENT) is None
    assert fault in str(faults(msgspec.structs.replace(EVENT, **change)))


def test_a_correction_may_be_negative() -> None:
    assert faults(msgspec.structs.replace(EVENT, meters={"input_tokens": -1}, corrects="0000")) is None
