"""The made month of the books' benchmarks: the same books, whatever number of records it comes in."""

from pathlib import Path

import pytest

from benchmarks import close, month
from entrepot.core.log_records import UsageRecorded, decode_record
from entrepot.core.segments import HEADER_BYTES, split_frames


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A month with usage in three hours only."""
    monkeypatch.setattr(month, "HOURS", 3)


def test_records_sum_to_the_readings_in_the_order_of_time() -> None:
    hour = next(month.hours(20))
    found = split_frames(b"".join(month.Records(5000).of(hour, month.MARCH)), HEADER_BYTES, 0, 10**6)
    events = []
    for payload in found.payloads:
        record = decode_record(payload)
        assert isinstance(record, UsageRecorded)
        events.append(record.event)
    assert found.stop == "end"
    assert 1000 < len(events) == len({event.id for event in events})
    assert [event.admitted_at for event in events] == sorted(event.admitted_at for event in events)
    sums: dict[tuple[str, str], int] = {}
    for event in events:
        for meter, units in event.meters.items():
            sums[event.customer, meter] = sums.get((event.customer, meter), 0) + units
    assert sums == {
        (series.customer, meter): units for (series, meter, _), units in month.readings_of(hour, month.MARCH).items()
    }


def test_the_close_is_the_same_whatever_number_of_records_is_behind_it(tmp_path: Path) -> None:
    figures = []
    for records in (0, 300, 3000):
        directory = tmp_path / str(records)
        directory.mkdir()
        figures.append(close.folded(directory, 20, records) | close.closed(directory))
    assert 60 <= int(figures[1]["usage_records"]) < int(figures[2]["usage_records"])
    for name in ("journal_root", "journal_root_after_the_close", "readings", "invoices"):
        assert len({found[name] for found in figures}) == 1, name
    assert figures[0]["invoices"] == 20
