"""A soak's record, and the page made of it."""

from collections.abc import Sequence

import msgspec

from benchmarks.gateway.machine import Machine
from benchmarks.gateway.soaking.flatness import Sample, slope_kb_per_min, thirds


class Slice(msgspec.Struct, frozen=True):
    """One slice. share: of a core, gateway and log process together; p50, p99: of plain requests; of events' way."""

    at_s: float
    requests: int
    events: int
    share: float
    p50_us: float
    p99_us: float
    event_p99_us: float


class SoakRecord(msgspec.Struct, frozen=True):
    """Everything a soak found. metered_once: {what clients were told: requests}; swaps: snapshots published."""

    measured_on: str
    machine: Machine
    settings: dict[str, float]
    metered_once: dict[str, int]
    swaps: int
    slices: list[Slice]
    samples: dict[str, list[Sample]]
    faults: list[str]


def page(record: SoakRecord) -> str:
    """The record as Markdown."""
    machine = record.machine
    settings = ", ".join(f"{name} {value:g}" for name, value in record.settings.items())
    asked = sum(each.requests for each in record.slices)
    events = sum(each.events for each in record.slices)
    verdict = "Not everything stayed as it should." if record.faults else "Everything stayed as it should."
    lines = [
        f"# Soak, {record.measured_on}",
        "",
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, {machine.python}; commit {machine.commit}.",
        f"Settings: {settings}.",
        "",
        f"**{verdict}** {asked} requests, {events} events of whole streams, {record.swaps} snapshots.",
        "",
        *(f"- {fault}" for fault in record.faults),
        *([""] if record.faults else []),
        "| metered exactly once | requests |",
        "|---|---|",
        *(f"| {word} | {count} |" for word, count in sorted(record.metered_once.items())),
        "",
        "| medians of thirds | first | second | last |",
        "|---|---|---|---|",
        _row("share of a core", [each.share for each in record.slices], "{:.2f}"),
        _row("p50 of plain requests, µs", [each.p50_us for each in record.slices]),
        _row("p99 of plain requests, µs", [each.p99_us for each in record.slices]),
        _row("p99 of events' way, µs", [each.event_p99_us for each in record.slices]),
    ]
    for name, samples in record.samples.items():
        lines.append(_row(f"{name}: RSS, MB", [sample.rss_kb / 1024 for sample in samples], "{:.1f}"))
        lines.append(_row(f"{name}: sockets", [sample.sockets for sample in samples]))
        lines.append(_row(f"{name}: other open files", [sample.other_files for sample in samples]))
    growth = "; ".join(f"{name} {slope_kb_per_min(samples):+.1f}" for name, samples in record.samples.items())
    return "\n".join([*lines, "", f"Growth of memory over the last two thirds, kB a minute: {growth}.", ""])


def _row(text: str, values: Sequence[float], shape: str = "{:.0f}") -> str:
    return f"| {text} | " + " | ".join(shape.format(value) for value in thirds(values)) + " |"
