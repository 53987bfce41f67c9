"""What was measured of money, and the page made of it."""

from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.gateway.machine import Machine

_TITLES = {
    "records": "The same month in more and more records, from the log to its invoices",
    "contracts": "The close of a month beside the number of contracts; readings are made, not folded",
    "fold": "The fold alone: a million records of 500 deployments",
    "what-if": "A month under other prices",
    "checks": "Checks that read the log",
}


class Measured(msgspec.Struct, frozen=True):
    """One run of one benchmark. load: the one-minute load average of the machine after it."""

    part: str
    name: str
    at: str
    commit: str
    load: float
    figures: dict[str, float | str]


class Results(msgspec.Struct, frozen=True):
    """All that was measured on one machine."""

    machine: Machine
    measured: list[Measured]


def page(day: str, results: Results) -> str:
    """The results as Markdown: a table for each part, a column for each run."""
    machine = results.machine
    lines = [
        f"# Money, {day}",
        "",
        (
            f"{machine.cpu}, {machine.cores} cores that others used at the same time, Linux {machine.kernel}, "
            f"{machine.python}. A synced append: {machine.sync_us:.0f} µs."
        ),
        "CPU seconds of one process on one core, if not called wall. [What is measured](../README.md).",
    ]
    for part, title in _TITLES.items():
        runs = [item for item in results.measured if item.part == part]
        if runs:
            lines += ["", f"## {title}", "", *_table(runs)]
    return "\n".join(lines) + "\n"


def _table(runs: Sequence[Measured]) -> Iterator[str]:
    yield f"| | {' | '.join(run.name for run in runs)} |"
    yield "|---|" + "---:|" * len(runs)
    for key in dict.fromkeys(key for run in runs for key in run.figures):
        yield f"| {key.replace('_', ' ')} | {' | '.join(_cell(run.figures.get(key)) for run in runs)} |"
    yield f"| commit, time, load | {' | '.join(f'{run.commit}, {run.at}, {run.load}' for run in runs)} |"


def _cell(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{int(value):,}" if value == int(value) else f"{value:,}"
