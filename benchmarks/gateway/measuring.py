"""One target in one phase: loaded, watched, and what came of it."""

import statistics
from collections.abc import Mapping, Sequence

import msgspec

from benchmarks.gateway.compared import CONTENDERS
from benchmarks.gateway.load import Load, LoadResult, MockUpstream, ProcessUse, send
from benchmarks.gateway.phases import Phase
from benchmarks.gateway.processes import Bench, resident_kb, round_robin
from benchmarks.gateway.targets import Target

OWN_SHARE_MAX = 0.85  # above it the load client may be what is measured
_TOUCH = Load(8, 0.0, 0.2, events=4)


class Part(msgspec.Struct, frozen=True):
    """What one part of a target spent in the window, its memory at the end, and before anything was asked of it."""

    cpu_us: float
    rss_kb: int
    rss_before_kb: int = 0


class Figure(msgspec.Struct, frozen=True):
    """One target in one phase and round. faults: why it does not count; empty when it does.

    connections, rate: how hard it was loaded.
    """

    phase: str
    target: str
    round: int
    connections: int
    rate: float
    result: LoadResult
    parts: dict[str, Part]
    metered: int | None
    faults: list[str]


def measure(
    bench: Bench, phase: Phase, name: str, target: Target, mock: MockUpstream, number: int, load: Load
) -> Figure:
    """The figure of one target in one phase. Raises: RuntimeError, OSError when the target cannot be measured."""
    parts = target.processes()
    pids = [pid for part in parts.values() for pid in part]
    if phase.name == "memory":
        mock.tell(events=_TOUCH.events, pace_us=1000)
        touched = send(bench, _TOUCH, target.port, target.key, [], target.manner)  # Loads code and makes caches.
        target.metered(touched.answered)
    rss_before = {pid: resident_kb(pid) for pid in pids} if phase.name == "memory" else {}
    before = mock.tell(events=max(load.events, 1), pace_us=phase.pace_us).requests
    metered_before = target.metered()
    with round_robin([*pids, mock.child.pid], bench.priority and phase.paced):
        result = send(bench, load, target.port, target.key, pids, target.manner)
    served = mock.tell().requests - before
    metered = target.metered(result.answered)
    if metered is not None and metered_before is not None:
        metered -= metered_before
    faults = faults_of(result, served, metered)
    if target.processes() != parts and CONTENDERS[name].kind == "ours":
        faults.append("a process of the target ended or began")
    found = parts_of(result, parts, rss_before)
    return Figure(phase.name, name, number, load.connections, load.rate, result, found, metered, faults)


def parts_of(result: LoadResult, parts: Mapping[str, Sequence[int]], rss_before: Mapping[int, int]) -> dict[str, Part]:
    """{part: what its processes spent together}."""
    nothing = ProcessUse(0.0, 0)
    used = {pid: result.processes.get(str(pid), nothing) for pids in parts.values() for pid in pids}
    return {
        name: Part(
            sum(used[pid].cpu_us for pid in pids),
            sum(used[pid].rss_kb for pid in pids),
            sum(rss_before.get(pid, 0) for pid in pids),
        )
        for name, pids in parts.items()
    }


def faults_of(result: LoadResult, served: int, metered: int | None) -> list[str]:
    """Everything that makes a figure worthless, in sentences."""
    checks = (
        (result.failed > 0, f"{result.failed} requests failed: {result.failed_by_status}"),
        (result.cut_short > 0, f"{result.cut_short} answers were cut short"),
        (result.lost_events > 0, f"{result.lost_events} events were lost"),
        (result.unfinished > 0, f"{result.unfinished} requests never ended"),
        (result.requests + result.events == 0, "nothing was answered in the window"),
        (served != result.answered, f"{result.answered} were answered, but {served} reached the upstream"),
        (
            metered is not None and metered != result.answered,
            f"{result.answered} were answered, but {metered} were metered",
        ),
        (result.own_share > OWN_SHARE_MAX, f"the load client itself was busy ({result.own_share:.0%} of a core)"),
    )
    return [text for wrong, text in checks if wrong]


def values_of(phase: Phase, figure: Figure, direct: Figure | None) -> dict[str, float]:
    """{what, unit last: value}: all that is said about a target. direct: the same round without a target between."""
    result = figure.result
    if phase.name == "memory":
        return _memory(figure)
    count = max(result.events if phase.what == "event" else result.requests, 1)
    spent = sum(part.cpu_us for part in figure.parts.values())
    values = {f"CPU per {phase.what}, µs": spent / count}
    if len(figure.parts) > 1:
        values |= {f"… {name}, µs": part.cpu_us / count for name, part in figure.parts.items()}
    busy = {"share of a core": spent / 1e6 / result.wall_s}
    if phase.name == "streams":
        counted = {"streams": figure.connections, "stalled": result.stalled_streams, "lost events": result.lost_events}
        return values | busy | counted | _delays(phase, result, direct)
    if phase.paced:
        return (
            values | ({"requests per s": figure.rate} if phase.name == "half" else {}) | _delays(phase, result, direct)
        )
    return values | {f"{phase.what}s per s": count / result.wall_s} | busy


def _delays(phase: Phase, result: LoadResult, direct: Figure | None) -> dict[str, float]:
    """An answer's latency, or how long an event was under way; and what that is above the direct way."""

    def of(each: LoadResult) -> tuple[float, float]:
        found = each.event_delay_us if phase.what == "event" else each.latency_us
        return found.p50, found.p99

    p50, p99 = of(result)
    values = {"p50, µs": p50, "p99, µs": p99}
    if direct is None:
        return values
    base50, base99 = of(direct.result)
    return values | {"added p50, µs": p50 - base50, "added p99, µs": p99 - base99}


def _memory(figure: Figure) -> dict[str, float]:
    streams = figure.connections
    rss_kb = sum(part.rss_kb for part in figure.parts.values())
    grown_kb = rss_kb - sum(part.rss_before_kb for part in figure.parts.values())
    values = {"streams": float(streams), "RSS, MB": rss_kb / 1024, "RSS per stream, kB": grown_kb / streams}
    if len(figure.parts) > 1:
        values |= {f"… {name}, MB": part.rss_kb / 1024 for name, part in figure.parts.items()}
    return values


def requests_per_s(figures: Sequence[Figure], name: str) -> float:
    """What the target answered at most in this run, in the middle of its rounds; 0 when it was not asked."""
    found = [
        each.result.requests / each.result.wall_s
        for each in figures
        if (each.phase, each.target) == ("requests", name) and not each.faults
    ]
    return statistics.median(found) if found else 0.0
