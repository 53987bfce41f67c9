"""How figures become rows: ratios within a round, faults that void, quartiles."""

import pytest

from benchmarks.gateway.load import LoadResult, ProcessUse, Quantiles
from benchmarks.gateway.machine import Machine
from benchmarks.gateway.measuring import Figure, Part, faults_of
from benchmarks.gateway.phases import phases
from benchmarks.gateway.results import Record, faults, rows, shortcomings, spread_of, tables

QUIET = Quantiles(100, 10.0, 20.0, 30.0, 40.0)


def result(**changed: int) -> LoadResult:
    counts = {"answered": 100, "failed": 0, "cut_short": 0, "unfinished": 0, "requests": 100, "events": 0}
    return LoadResult(
        **(counts | {"lost_events": 0} | changed),
        aborted=0,
        stalled_streams=0,
        reconnects=0,
        late_starts=0,
        wall_s=1.0,
        own_share=0.2,
        latency_us=QUIET,
        first_byte_us=QUIET,
        event_delay_us=QUIET,
        failed_by_status={},
        processes={"7": ProcessUse(2000.0, 1024)},
    )


def figure(target: str, number: int, cpu_us: float, *faults_found: str) -> Figure:
    found = {"part": Part(cpu_us, 1024)}
    return Figure("requests", target, number, 16, 0.0, result(), found, None, list(faults_found))


def record(*figures: Figure) -> Record:
    return Record("2026-01-01", Machine("cpu", 2, "6", "3.11", 0.0, 100.0, "abc"), {}, {}, list(figures), [])


def test_ratios_are_taken_within_a_round() -> None:
    """Given a machine that is twice as slow in the second round, the ratio stays what it was."""
    run = record(figure("nginx", 0, 2000), figure("nginx", 1, 4000), figure("ours", 0, 3000), figure("ours", 1, 6000))
    found = {(row.target, row.what): row for row in rows(run, phases(1))}
    ours = found["ours", "CPU per request, µs"]
    assert ours.value.median == 45.0
    assert ours.ratio is not None
    assert (ours.ratio.low, ours.ratio.median, ours.ratio.high) == (1.5, 1.5, 1.5)


def test_without_nginx_there_is_no_ratio() -> None:
    assert all(row.ratio is None for row in rows(record(figure("ours", 0, 3000)), phases(1)))


def test_a_figure_with_a_fault_is_left_out_and_named() -> None:
    run = record(figure("ours", 0, 3000), figure("ours", 1, 9000, "2 requests failed"))
    assert [row.value.median for row in rows(run, phases(1)) if row.what.startswith("CPU")] == [30.0]
    assert faults(run) == ["ours, requests, round 2: 2 requests failed"]


def test_what_others_get_wrong_does_not_void_the_run() -> None:
    run = record(figure("litellm", 0, 9000, "2 requests failed"))
    assert faults(run) == []
    assert shortcomings(run) == ["litellm, requests, round 1: 2 requests failed"]


def test_tables_show_each_target_and_the_ratio() -> None:
    shown = tables(record(figure("nginx", 0, 2000), figure("ours", 0, 3000)), phases(1))
    assert "| ours | 30 = **1.50×** |" in shown


@pytest.mark.parametrize(
    ("changed", "served", "metered", "said"),
    [
        ({"failed": 3}, 100, None, "3 requests failed"),
        ({"cut_short": 1}, 100, None, "cut short"),
        ({"lost_events": 1}, 100, None, "events were lost"),
        ({"unfinished": 1}, 100, None, "never ended"),
        ({"requests": 0}, 100, None, "nothing was answered"),
        ({}, 99, None, "99 reached the upstream"),
        ({}, 100, 99, "99 were metered"),
    ],
)
def test_what_makes_a_figure_worthless(changed: dict[str, int], served: int, metered: int | None, said: str) -> None:
    assert [said in fault for fault in faults_of(result(**changed), served, metered)] == [True]


def test_a_good_figure_has_no_fault() -> None:
    assert faults_of(result(), 100, 100) == []


def test_quartiles_of_one_value_are_that_value() -> None:
    assert spread_of([4.0]) == spread_of([4.0, 4.0, 4.0])
