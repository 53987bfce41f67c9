"""The phases of a run: what is sent, and what is made of what came back."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from benchmarks.gateway.load import Load, LoadResult, MockUpstream, send
from benchmarks.gateway.processes import Bench, round_robin
from benchmarks.gateway.targets import Target

PACE_US = 20_000  # 50 events a second, a brisk model
SLOW_PACE_US = 100_000
# 200 streams begin 5.1 ms apart, so that their events come 0.1 ms apart and no two are ready together.
SPREAD_S = 1.02
STREAMS_HELD = 1000
OWN_SHARE_MAX = 0.85  # above it the load client may be what is measured


@dataclass(frozen=True, slots=True)
class Phase:
    """One way of loading a target. alert: whether neighbours are held off, where that was asked for (latency)."""

    name: str
    title: str
    load: Load
    pace_us: int = 0
    alert: bool = False
    once: bool = False


class Part(msgspec.Struct, frozen=True):
    """What one part of a target spent in the window, and its memory at the end."""

    cpu_us: float
    rss_kb: int


class Figure(msgspec.Struct, frozen=True):
    """One target in one phase and round. faults: why it does not count; empty when it does."""

    phase: str
    target: str
    round: int
    result: LoadResult
    parts: dict[str, Part]
    metered: int | None
    faults: list[str]


def phases(window_s: float) -> dict[str, Phase]:
    """All phases by name, in the order in which they run."""
    known = (
        Phase("requests", "Plain requests, as many as it can", Load(256, 0.7, window_s)),
        Phase("latency", "Plain requests, 500 a second", Load(64, 0.5, window_s, rate=500), alert=True),
        _streams("events", "Streams: 200 at 50 events a second", 200, PACE_US, window_s),
        _streams("unasked", "The same, usage not asked for by the client", 200, PACE_US, window_s, asks_usage=False),
        _streams("memory", f"Memory at {STREAMS_HELD} open streams", STREAMS_HELD, SLOW_PACE_US, 1.0, stagger_s=2.0),
    )
    return {phase.name: phase for phase in known}


def _streams(
    name: str,
    title: str,
    streams: int,
    pace_us: int,
    window_s: float,
    *,
    stagger_s: float = SPREAD_S,
    asks_usage: bool = True,
) -> Phase:
    """A phase in whose window no stream starts or ends: it measures events and nothing else."""
    warm_s = stagger_s + 0.5
    events = int((warm_s + window_s + 0.5) * 1e6 / pace_us)
    load = Load(streams, warm_s, window_s, stagger_s=stagger_s, events=events, asks_usage=asks_usage)
    return Phase(name, title, load, pace_us, alert=name != "memory", once=name == "memory")


def measure(bench: Bench, phase: Phase, name: str, target: Target, mock: MockUpstream, number: int) -> Figure:
    """The figure of one target in one phase. Raises: CalledProcessError."""
    parts = target.processes()
    pids = [pid for part in parts.values() for pid in part]
    before = mock.tell(events=max(phase.load.events, 1), pace_us=phase.pace_us).requests
    metered_before = target.metered()
    with round_robin([*pids, mock.child.pid], bench.priority and phase.alert):
        result = send(bench, phase.load, target.port, target.key, pids)
    served = mock.tell().requests - before
    metered = target.metered()
    if metered is not None and metered_before is not None:
        metered -= metered_before
    faults = faults_of(result, served, metered)
    if target.processes() != parts:
        faults.append("a process of the target ended or began")
    return Figure(phase.name, name, number, result, parts_of(result, parts), metered, faults)


def parts_of(result: LoadResult, parts: Mapping[str, list[int]]) -> dict[str, Part]:
    """{part: what its processes spent together}."""
    return {
        name: Part(
            sum(result.processes[str(pid)].cpu_us for pid in pids),
            sum(result.processes[str(pid)].rss_kb for pid in pids),
        )
        for name, pids in parts.items()
    }


def faults_of(result: LoadResult, served: int, metered: int | None) -> list[str]:
    """Everything that makes a figure worthless, in sentences."""
    checks = (
        (result.failed > 0, f"{result.failed} requests failed: {result.failed_by_status}"),
        (result.cut_short > 0, f"{result.cut_short} answers were cut short"),
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
    what, count = ("event", result.events) if phase.load.events else ("request", result.requests)
    values = {f"CPU per {what}, µs": sum(part.cpu_us for part in figure.parts.values()) / max(count, 1)}
    if len(figure.parts) > 1:
        values |= {f"… {name}, µs": part.cpu_us / max(count, 1) for name, part in figure.parts.items()}
    if not phase.alert:
        busy = sum(part.cpu_us for part in figure.parts.values()) / 1e6 / result.wall_s
        return values | {"requests per s": result.requests / result.wall_s, "share of the core": busy}
    return values | _delays(phase, result, direct.result if direct else None)


def _delays(phase: Phase, result: LoadResult, direct: LoadResult | None) -> dict[str, float]:
    """An answer's latency, or how long an event was under way; and what that is above the direct way."""
    mine, base = (each and (each.event_delay_us if phase.load.events else each.latency_us) for each in (result, direct))
    assert mine
    values = {"p50, µs": mine.p50, "p99, µs": mine.p99}
    return values | ({"added p50, µs": mine.p50 - base.p50, "added p99, µs": mine.p99 - base.p99} if base else {})


def _memory(figure: Figure) -> dict[str, float]:
    parts = {f"… {name}, MB": part.rss_kb / 1024 for name, part in figure.parts.items()}
    return {"RSS, MB": sum(parts.values())} | (parts if len(parts) > 1 else {})
