"""Importing: good rows are kept whatever stands between them, a file that breaks keeps what came before."""

import json
from collections.abc import Iterator

import pytest

from entrepot.core.errors import BadInput
from entrepot.core.log_records import UsageRecorded
from entrepot.flows import import_usage
from entrepot.flows.import_usage import Imported, Importing, import_records, import_trace
from entrepot.metering.trace_usage import Placing, Target
from entrepot.ports.usage_rows import RowBatch, RowFault, TraceBatch, TraceRow
from tests.support.billing import ListLog


def line(number: int) -> bytes:
    record = {"id": f"r-{number}", "admitted_at": "2024-03-05T08:00:00Z", "customer": "c", "model": "m", "meters": {}}
    return json.dumps(record).encode()


class Rows:
    """Batches in memory, and perhaps a break after them."""

    def __init__(self, *batches: RowBatch, broken: str = "") -> None:
        self._batches = batches
        self._broken = broken

    def batches(self) -> Iterator[RowBatch]:
        yield from self._batches
        if self._broken:
            raise BadInput(self._broken)


def batch(first: int, *rows: bytes, faults: list[RowFault] | None = None) -> RowBatch:
    return RowBatch(range(first, first + len(rows)), rows, faults or [])


def run(rows: Rows) -> tuple[Imported, list[str], list[RowFault]]:
    log, rejected = ListLog(), list[RowFault]()
    done = import_records(rows, Importing(log, rejected.append, lambda _: None))
    ids = [record.event.id for record in log.records if isinstance(record, UsageRecorded)]
    return done, ids, rejected


def test_good_rows_go_to_the_log_in_order_and_bad_ones_back() -> None:
    early = RowFault(line=1, reason="is too long", row="")
    done, ids, rejected = run(Rows(batch(2, line(0), b"{}", line(1), faults=[early]), batch(5, line(2))))
    assert (done.read, done.appended, done.rejected, done.broken) == (5, 3, 2, None)
    assert ids == ["r-0", "r-1", "r-2"]
    assert [(fault.line, fault.reason) for fault in rejected] == [(1, "is too long"), (3, "id is missing")]


def test_records_are_appended_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_usage, "APPENDED_AT_ONCE", 4)
    sizes: list[int] = []

    class Log(ListLog):
        def append(self, records: object) -> None:
            assert isinstance(records, list)
            sizes.append(len(records))

    seen: list[int] = []
    work = Importing(Log(), lambda _: None, lambda done: seen.append(done.appended))
    import_records(Rows(batch(1, *(line(number) for number in range(6))), batch(7, *(line(7),) * 3)), work)
    assert sizes == [4, 4, 1]
    assert seen == [4, 8, 9]


def test_a_file_that_breaks_off_keeps_what_came_before() -> None:
    done, ids, _ = run(Rows(batch(1, line(0), line(1)), broken="usage.gz breaks off"))
    assert (ids, done.broken) == (["r-0", "r-1"], "usage.gz breaks off")


def test_a_file_that_cannot_be_used_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match="is empty"):
        run(Rows(broken="is empty"))


class Traces:
    """A trace in memory."""

    def __init__(self, *rows: TraceRow) -> None:
        self._rows = rows

    def batches(self) -> Iterator[TraceBatch]:
        yield TraceBatch(self._rows)


def test_a_part_goes_on_where_the_one_before_ended() -> None:
    placing = Placing(trace="azure", targets=(Target("c", "p", "d", "m"),))
    same = TraceRow(2, 10**18, "", 1, 10, 0, 2)

    def ids(*rows: TraceRow, after: Traces | None = None) -> list[str]:
        log = ListLog()
        done = import_trace(Traces(*rows), placing, Importing(log, lambda _: None, lambda _: None), after=after)
        assert (done.read, done.appended) == (len(rows), len(rows))
        return [record.event.id for record in log.records if isinstance(record, UsageRecorded)]

    whole = ids(same, same, same)
    assert len(set(whole)) == 3
    assert ids(same, same, after=Traces(same)) == whole[1:]
    assert ids(same, same) == whole[:2]
