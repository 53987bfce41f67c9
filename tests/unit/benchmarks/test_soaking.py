"""What a soak takes for even, and what for flat."""

from pathlib import Path

import pytest

from benchmarks.gateway.soaking.flatness import Sample, file_faults, latency_faults, memory_faults, slope_kb_per_min
from benchmarks.gateway.soaking.ledger import Books, Tail
from entrepot.core.log_records import Abandoned, Admitted, LogRecord, UsageRecorded
from entrepot.core.usage_event import UsageEvent

ADMITTED = Admitted("r1", 1, "i", "c", "p", "d", "m", "default", "u", "k", 10)
ABANDONED = Abandoned("r1", 2, "client_left", True, 3)


def settled(meters: dict[str, int]) -> UsageRecorded:
    event = UsageEvent(
        id="r1",
        admitted_at=1,
        finished_at=2,
        customer="c",
        project="p",
        deployment="d",
        model="m",
        tier="default",
        meters=meters,
        raw=b"{}",
    )
    return UsageRecorded(event)


SERVED = settled({"input_tokens": 1})


@pytest.mark.parametrize(
    ("told", "records"),
    [
        ("r1 answered", [ADMITTED, SERVED]),
        ("r1 aborted", [ADMITTED, ABANDONED]),
        ("r1 aborted", [ADMITTED, SERVED]),
        ("r1 failed", [ADMITTED, ABANDONED]),
        ("r1 refused", [ADMITTED, settled({})]),
    ],
)
@pytest.mark.parametrize("log_first", [True, False])
def test_what_ended_once_is_even_in_either_order(told: str, records: list[LogRecord], log_first: bool) -> None:
    books = Books()
    if log_first:
        books.recorded(records)
    books.told([told])
    if not log_first:
        books.recorded(records)
    assert (books.open, books.faults()) == ({}, [])
    assert dict(books.even) == {told.partition(" ")[2]: 1}


@pytest.mark.parametrize(
    ("told", "records", "said"),
    [
        ("r1 answered", [], "0 times settled"),
        ("r1 answered", [ADMITTED], "0 times settled"),
        ("r1 answered", [ADMITTED, ABANDONED], "1 times abandoned"),
        ("r1 answered", [ADMITTED, settled({})], "told 'answered'"),
        ("r1 answered", [SERVED], "0 times admitted"),
        ("r1 aborted", [ADMITTED, ABANDONED, SERVED], "no client heard"),
        (None, [ADMITTED, SERVED], "no client heard"),
    ],
)
def test_anything_else_is_a_fault(told: str | None, records: list[LogRecord], said: str) -> None:
    books = Books()
    books.told([told] if told else [])
    books.recorded(records)
    assert [said in fault for fault in books.faults()] == [True]


def test_settled_twice_is_a_fault() -> None:
    books = Books()
    books.told(["r1 answered"])
    books.recorded([ADMITTED, SERVED, SERVED])
    assert len(books.faults()) == 1


def test_an_error_that_was_asked_for_is_no_answer() -> None:
    books = Books()
    books.told(["r1 answered"], as_asked=True)
    books.recorded([ADMITTED, settled({})])
    assert dict(books.even) == {"refused": 1}


def test_a_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "ledger")
    assert tail.lines() == []
    tail.path.write_text("a 1\nb")
    assert tail.lines() == ["a 1"]
    tail.path.write_text("a 1\nb 2\n")
    assert (tail.lines(), tail.lines()) == (["b 2"], [])


def samples(*rss_kb: int, sockets: int = 5) -> list[Sample]:
    return [Sample(60.0 * number, kb, sockets, 3) for number, kb in enumerate(rss_kb)]


def test_memory_that_grows_is_told_with_its_slope() -> None:
    growing = samples(*range(30_000, 60_000, 1000))
    assert memory_faults("gateway", growing) == ["the memory of gateway grew from 44500 to 54500 kB"]
    assert slope_kb_per_min(growing) == pytest.approx(1000)
    assert memory_faults("gateway", samples(*[20_000] * 10, *[40_000] * 20)) == []


def test_files_that_stay_open_are_told() -> None:
    assert file_faults("gateway", samples(*[1] * 30)) == []
    leaking = samples(*[1] * 20) + samples(*[1] * 10, sockets=50)
    assert file_faults("gateway", leaking) == ["gateway held 5 sockets and later 50"]


def test_latency_that_doubles_is_told_for_long_runs_only() -> None:
    assert latency_faults([100.0] * 20 + [300.0] * 20) != []
    assert latency_faults([100.0, 300.0, 900.0]) == []
