"""The page that a run prints and leaves behind."""

from collections.abc import Mapping

from benchmarks.gateway.goals import Goal, goal_table, standing_table
from benchmarks.gateway.phases import Phase
from benchmarks.gateway.results import Findings, Record, faults, shortcomings, tables


def page(record: Record, phases: Mapping[str, Phase], goals: list[Goal]) -> str:
    """The whole record as Markdown."""
    machine = record.machine
    settings = ", ".join(f"{name} {value}" for name, value in record.settings.items())
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    lines = [
        f"# Gateway, {record.measured_on}",
        "",
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, {machine.python}; commit {machine.commit}.",
        f"A synced append: {machine.sync_us:.0f} µs. Load average before: {machine.load:.2f}. Settings: {settings}.",
        *([f"Versions: {versions}."] if versions else []),
        "",
        "Medians, quartiles in brackets; **×** is the ratio to nginx in the same round. [Reading it](../README.md).",
        "",
    ]
    for remark in (*record.notes, *(f"**Void**: {fault}" for fault in faults(record)), *shortcomings(record)):
        lines += [remark, ""]
    lines += [goal_table(goals), "", standing_table(Findings(record, phases)), ""]
    return "\n".join(lines) + "\n" + tables(record, phases)
