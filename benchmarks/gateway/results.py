"""A run's record, and the tables made of it: medians with quartiles, and ratios taken within each round."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.gateway.compared import CONTENDERS, DIRECT
from benchmarks.gateway.machine import Machine
from benchmarks.gateway.measuring import Figure, values_of
from benchmarks.gateway.phases import Phase

# Figures of which a ratio to the yardstick is shown.
_COMPARED = ("CPU", "RSS")


class Record(msgspec.Struct, frozen=True):
    """Everything a run found, with how it was set. versions: {target: version}."""

    measured_on: str
    machine: Machine
    settings: dict[str, str | int | float | bool]
    versions: dict[str, str]
    figures: list[Figure]
    notes: list[str]


class Spread(msgspec.Struct, frozen=True):
    """A median with its quartiles."""

    median: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True):
    """One thing said about one target in one phase. ratio: to the yardstick in the same rounds, where it was there."""

    phase: str
    target: str
    what: str
    rounds: int
    value: Spread
    ratio: Spread | None


class Findings:
    """The figures of a record that count, by phase, target and round."""

    def __init__(self, record: Record, phases: Mapping[str, Phase]) -> None:
        self.phases = phases
        self._good = {(f.phase, f.target, f.round): f for f in record.figures if not f.faults}

    def targets(self, phase: str) -> list[str]:
        """Those with at least one figure, in the order of the run."""
        return list(dict.fromkeys(target for name, target, _ in self._good if name == phase))

    def by_round(self, phase: str, target: str) -> dict[int, dict[str, float]]:
        """{round: {what: value}}."""
        return {
            number: self._values(figure)
            for (name, owner, number), figure in self._good.items()
            if (name, owner) == (phase, target)
        }

    def median(self, phase: str, target: str, what: str) -> float | None:
        """The middle of a target's values, or None when there are none."""
        found = [values[what] for values in self.by_round(phase, target).values() if what in values]
        return statistics.median(found) if found else None

    def compared(self, phase: str, what: str, target: str, other: str) -> Spread | None:
        """The target's value divided by the other's in the same round; None when they never met."""
        mine, theirs = self.by_round(phase, target), self.by_round(phase, other)
        ratios = [
            values[what] / theirs[number][what]
            for number, values in mine.items()
            if what in values and theirs.get(number, {}).get(what)
        ]
        return spread_of(ratios) if ratios else None

    def _values(self, figure: Figure) -> dict[str, float]:
        direct = self._good.get((figure.phase, DIRECT, figure.round)) if figure.target != DIRECT else None
        return values_of(self.phases[figure.phase], figure, direct)


def faults(record: Record) -> list[str]:
    """Why the run is void, in sentences; empty when it counts. What others' programs get wrong is not among them."""
    return [_fault(figure, fault) for figure, fault in _faulty(record) if _is_vital(figure)]


def shortcomings(record: Record) -> list[str]:
    """What went wrong with others' programs; their figures of these rounds are left out."""
    return [_fault(figure, fault) for figure, fault in _faulty(record) if not _is_vital(figure)]


def _faulty(record: Record) -> Iterator[tuple[Figure, str]]:
    return ((figure, fault) for figure in record.figures for fault in figure.faults)


def _is_vital(figure: Figure) -> bool:
    contender = CONTENDERS.get(figure.target)
    return contender is None or contender.kind in {"ours", "yardstick"}


def _fault(figure: Figure, fault: str) -> str:
    return f"{figure.target}, {figure.phase}, round {figure.round + 1}: {fault}"


def rows(record: Record, phases: Mapping[str, Phase]) -> Iterator[Row]:
    """What was found, phase by phase and target by target. Figures with faults are left out."""
    findings = Findings(record, phases)
    for phase in phases.values():
        for target in findings.targets(phase.name):
            yield from _rows_of(phase, target, findings)


def _rows_of(phase: Phase, target: str, findings: Findings) -> Iterator[Row]:
    found = findings.by_round(phase.name, target)
    for what in dict.fromkeys(what for each in found.values() for what in each):
        values = [each[what] for each in found.values() if what in each]
        ratio = None if target == DIRECT else findings.compared(phase.name, what, target, phase.yardstick)
        yield Row(phase.name, target, what, len(values), spread_of(values), ratio)


def spread_of(values: Sequence[float]) -> Spread:
    """The median and the quartiles; with one value all three are it."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def tables(record: Record, phases: Mapping[str, Phase]) -> str:
    """The findings as Markdown tables, one for each phase: a row for each target."""
    found = list(rows(record, phases))
    parts = []
    for phase in phases.values():
        here = [row for row in found if row.phase == phase.name]
        if here:
            parts.append(f"### {phase.name}: {phase.title}\n\n{_table(here, phase)}\n")
    return "\n".join(parts)


def _table(found: Sequence[Row], phase: Phase) -> str:
    whats = dict.fromkeys(row.what for row in found)
    lines = ["| target | " + " | ".join(whats) + " |", "|---|" + "---|" * len(whats)]
    for target in dict.fromkeys(row.target for row in found):
        cells = {row.what: _cell(row, phase) for row in found if row.target == target}
        lines.append(f"| {target} | " + " | ".join(cells.get(what, "") for what in whats) + " |")
    return "\n".join(lines)


def _cell(row: Row, phase: Phase) -> str:
    text = short(row.value.median)
    if row.rounds > 1:
        text += f" ({short(row.value.low)}–{short(row.value.high)})"
    if row.ratio and row.target != phase.yardstick and row.what.startswith(_COMPARED):
        text += f" = **{short(row.ratio.median)}×**"
        if row.rounds > 1:
            text += f" ({short(row.ratio.low)}–{short(row.ratio.high)})"
    return text


def short(value: float) -> str:
    """A number with three digits that matter."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def save(record: Record, path: Path, phases: Mapping[str, Phase], page: str, goals: Sequence[msgspec.Struct]) -> None:
    """Writes the record as JSON to the path, with its summary, and the page as Markdown beside it."""
    summary = {"summary": msgspec.to_builtins(list(rows(record, phases))), "goals": msgspec.to_builtins(list(goals))}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(msgspec.to_builtins(record) | summary, indent=1, ensure_ascii=False) + "\n")
    path.with_suffix(".md").write_text(page)
