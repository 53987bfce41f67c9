"""How goals are held against figures: ratios in the same round, and nothing said about what was not measured."""

from benchmarks.gateway.goals import Goal, fastest_gateway, goals
from benchmarks.gateway.load import LoadResult, ProcessUse, Quantiles
from benchmarks.gateway.machine import Machine
from benchmarks.gateway.measuring import Figure, Part
from benchmarks.gateway.phases import phases
from benchmarks.gateway.results import Findings, Record

MACHINE = Machine("cpu", 2, "6", "3.11", 0.0, 100.0, "abc")


def figure(phase: str, target: str, cpu_us: float, *, p50: float = 100.0, stalled: int = 0, number: int = 0) -> Figure:
    seen = Quantiles(100, p50, p50, p50, p50)
    result = LoadResult(
        answered=100,
        aborted=0,
        failed=0,
        cut_short=0,
        unfinished=0,
        reconnects=0,
        late_starts=0,
        lost_events=0,
        stalled_streams=stalled,
        wall_s=1.0,
        requests=100,
        events=100,
        own_share=0.2,
        latency_us=seen,
        first_byte_us=seen,
        event_delay_us=seen,
        failed_by_status={},
        processes={"7": ProcessUse(cpu_us, 1024)},
    )
    return Figure(phase, target, number, 1000, 0.0, result, {"part": Part(cpu_us, 9024, 1024)}, None, [])


def verdicts(*figures: Figure) -> dict[str, Goal]:
    record = Record("2026-01-01", MACHINE, {}, {}, list(figures), [])
    return {goal.what: goal for goal in goals(Findings(record, phases(1)))}


def test_a_ratio_at_its_limit_is_met_and_one_above_is_not() -> None:
    found = verdicts(figure("requests", "nginx", 1000), figure("requests", "entrepot", 1600))
    assert found["CPU per plain request, to nginx"].met is True
    found = verdicts(figure("requests", "nginx", 1000), figure("requests", "entrepot", 1700))
    assert found["CPU per plain request, to nginx"].met is False


def test_rounds_in_which_only_one_was_measured_say_nothing() -> None:
    found = verdicts(figure("requests", "nginx", 1000), figure("requests", "entrepot", 1600, number=1))
    assert found["CPU per plain request, to nginx"] == Goal(
        "CPU per plain request, to nginx", "≤ 1.6", "not measured", None
    )


def test_the_fastest_gateway_is_the_one_that_spends_least_and_no_plain_proxy() -> None:
    figures = [figure("requests", name, cost) for name, cost in (("smg", 900), ("litellm", 90_000), ("haproxy", 10))]
    record = Record("2026-01-01", MACHINE, {}, {}, figures, [])
    assert fastest_gateway(Findings(record, phases(1))) == "smg"
    ours = figure("requests", "entrepot", 450), figure("latency", "entrepot", 9, p50=300.0)
    base = figure("latency", "direct", 9, p50=100.0), figure("latency", "smg", 9, p50=301.0)
    found = verdicts(*figures, *ours, *base, figure("latency", "entrepot-memory", 9, p50=302.0))
    assert found["CPU per plain request, to the fastest other LLM gateway (smg)"].met is True
    assert found["CPU per plain request, to LiteLLM"].found.startswith("1/200")
    added = "added p50 at 500 a second, µs, usage {} before it ends"
    assert (found[added.format("on disk")].met, found[added.format("on disk")].found) == (True, "200")
    assert (found[added.format("in memory")].met, found[added.format("in memory")].found) == (False, "202")


def test_one_stalled_stream_is_one_too_many() -> None:
    text = "paced streams on one core, none stalled, no frame lost"
    assert verdicts(figure("streams", "entrepot", 9))[text].met is True
    assert verdicts(figure("streams", "entrepot", 9, stalled=1))[text].met is False


def test_memory_is_what_grew_with_the_streams() -> None:
    assert verdicts(figure("memory", "entrepot", 9))["memory per open stream, kB"].found == "8"
