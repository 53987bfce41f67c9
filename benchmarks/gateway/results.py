"""A run's record, and the tables made of it: medians with quartiles, and ratios to nginx taken within each round."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.gateway.compared import DIRECT
from benchmarks.gateway.phases import Figure, Phase, values_of

YARDSTICK = "nginx"


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured. load: the one-minute load average before the run, on all cores together.

    sync_us: how long an append of 4 kB and its fdatasync take at best on the disk that the usage log is on.
    """

    cpu: str
    cores: int
    kernel: str
    python: str
    load: float
    sync_us: float
    commit: str


class Record(msgspec.Struct, frozen=True):
    """Everything a run found, with how it was set."""

    measured_on: str
    machine: Machine
    settings: dict[str, str | int | float | bool]
    figures: list[Figure]
    notes: list[str]


class Spread(msgspec.Struct, frozen=True):
    """A median with its quartiles."""

    median: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True):
    """One thing said about one target in one phase. ratio: to nginx in the same rounds, where it was measured there."""

    phase: str
    target: str
    what: str
    rounds: int
    value: Spread
    ratio: Spread | None


def this_machine(root: Path, scratch: Path) -> Machine:
    """The machine and the commit; "+" behind the commit when src or benchmarks differ from it."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", "src", "benchmarks/gateway")
    return Machine(
        cpu=models[0] if models else platform.machine(),
        cores=os.cpu_count() or 1,
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        load=os.getloadavg()[0],
        sync_us=sync_us(scratch),
        commit=commit + ("+" if changed else ""),
    )


def sync_us(directory: Path, tries: int = 101) -> float:
    """How long a synced append of 4 kB to a new file takes, in µs: the shortest, for it is the disk that is wanted."""
    path = directory / "sync-probe"
    durations = []
    with path.open("wb", buffering=0) as file:
        for _ in range(tries):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            durations.append((time.perf_counter() - began) * 1e6)
    path.unlink()
    return min(durations)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def faults(record: Record) -> list[str]:
    """Why the run is void, in sentences; empty when it counts."""
    return [f"{f.target}, {f.phase}, round {f.round}: {fault}" for f in record.figures for fault in f.faults]


def rows(record: Record, phases: dict[str, Phase]) -> Iterator[Row]:
    """What was found, phase by phase and target by target. Figures with faults are left out."""
    good = {(f.phase, f.target, f.round): f for f in record.figures if not f.faults}
    for phase in phases.values():
        targets = dict.fromkeys(f.target for f in record.figures if f.phase == phase.name)
        for target in targets:
            mine = {number: f for (name, owner, number), f in good.items() if (name, owner) == (phase.name, target)}
            yield from _rows_of(phase, target, mine, good)


def _rows_of(
    phase: Phase, target: str, mine: dict[int, Figure], good: dict[tuple[str, str, int], Figure]
) -> Iterator[Row]:
    def values(owner: str, number: int) -> dict[str, float]:
        figure = good.get((phase.name, owner, number))
        direct = good.get((phase.name, DIRECT, number)) if owner != DIRECT else None
        return values_of(phase, figure, direct) if figure else {}

    found = {number: values(target, number) for number in mine}
    yardstick = {number: values(YARDSTICK, number) for number in mine}
    for what in dict.fromkeys(what for each in found.values() for what in each):
        numbers = [number for number in found if what in found[number]]
        compared = [number for number in numbers if yardstick[number].get(what)] if target != DIRECT else []
        ratios = [found[number][what] / yardstick[number][what] for number in compared]
        spread = spread_of([found[number][what] for number in numbers])
        yield Row(phase.name, target, what, len(numbers), spread, spread_of(ratios) if ratios else None)


def spread_of(values: Sequence[float]) -> Spread:
    """The median and the quartiles; with one value all three are it."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def tables(record: Record, phases: dict[str, Phase]) -> str:
    """The findings as Markdown tables, one for each phase: a row for each target."""
    found = list(rows(record, phases))
    parts = []
    for phase in phases.values():
        here = [row for row in found if row.phase == phase.name]
        if here:
            parts.append(f"### {phase.name}: {phase.title}\n\n{_table(here)}\n")
    return "\n".join(parts)


def _table(found: Sequence[Row]) -> str:
    whats = dict.fromkeys(row.what for row in found)
    lines = ["| target | " + " | ".join(whats) + " |", "|---|" + "---|" * len(whats)]
    for target in dict.fromkeys(row.target for row in found):
        cells = {row.what: _cell(row) for row in found if row.target == target}
        lines.append(f"| {target} | " + " | ".join(cells.get(what, "") for what in whats) + " |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    text = short(row.value.median)
    if row.rounds > 1:
        text += f" ({short(row.value.low)}–{short(row.value.high)})"
    if row.ratio and row.target != YARDSTICK and row.what.startswith(("CPU", "RSS")):
        text += f" = **{row.ratio.median:.2f}×**"
        if row.rounds > 1:
            text += f" ({row.ratio.low:.2f}–{row.ratio.high:.2f})"
    return text


def short(value: float) -> str:
    """A number with three digits that matter."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def document(record: Record, phases: dict[str, Phase]) -> str:
    """The whole record as a Markdown page."""
    machine = record.machine
    settings = ", ".join(f"{name} {value}" for name, value in record.settings.items())
    lines = [
        f"# Gateway, {record.measured_on}",
        "",
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, {machine.python}; commit {machine.commit}.",
        f"A synced append: {machine.sync_us:.0f} µs. Load average before: {machine.load:.2f}. Settings: {settings}.",
        "",
        "Medians, quartiles in brackets; **×** is the ratio to nginx in the same round. [Reading it](../README.md).",
        "",
    ]
    for remark in (*record.notes, *(f"**Void**: {fault}" for fault in faults(record))):
        lines += [remark, ""]
    return "\n".join(lines) + "\n" + tables(record, phases)


def save(record: Record, path: Path, phases: dict[str, Phase]) -> None:
    """Writes the record as JSON to the path, with its summary, and as Markdown beside it."""
    body = msgspec.to_builtins(record) | {"summary": msgspec.to_builtins(list(rows(record, phases)))}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    path.with_suffix(".md").write_text(document(record, phases))
