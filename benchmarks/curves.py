"""Measures how a request's cost depends on what surrounds it: bodies, answers, tenants, deployments, connections.

Each curve varies one quantity; at each of its points the targets take turns. Writes a table and a chart for each.
"""

import argparse
import datetime as dt
import json
import os
import resource
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gateway.chart import chart  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.load import LoadResult, MockUpstream, begin, collect, start_mock  # noqa: E402
from benchmarks.gateway.machine import Machine, this_machine  # noqa: E402
from benchmarks.gateway.measuring import faults_of  # noqa: E402
from benchmarks.gateway.native_tools import BUILD, ToolMissing  # noqa: E402
from benchmarks.gateway.processes import Bench, Children  # noqa: E402
from benchmarks.gateway.results import Spread, short, spread_of  # noqa: E402
from benchmarks.gateway.sweeps import Point, Sweep, idle_connections, key_list, sweeps  # noqa: E402
from benchmarks.gateway.targets import Target  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"


class Found(msgspec.Struct, frozen=True):
    """One line's value at one point. cpu_us: for one request or event; first: it in units of the line's first point."""

    line: str
    x: int
    cpu_us: Spread
    first: float
    rss_mb: float
    faults: list[str]


class Curve(msgspec.Struct, frozen=True):
    """One quantity varied."""

    name: str
    title: str
    across: str
    what: str
    memory: bool
    why: str
    found: list[Found]


class CurvesRecord(msgspec.Struct, frozen=True):
    """All curves of a run."""

    measured_on: str
    machine: Machine
    settings: dict[str, float]
    curves: list[Curve]
    notes: list[str]


def main(arguments: Sequence[str]) -> int:
    """0 when every figure counts, 1 when a request failed, 2 when it cannot run here."""
    asked = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="curves-", dir=BUILD, ignore_cleanup_errors=True) as scratch:
        cores = sorted(os.sched_getaffinity(0))
        children = Children(Bench(cores[0], cores[-1], Path(scratch)))
        notes: list[str] = []
        try:
            machine = this_machine(ROOT, children.bench.scratch)
            mock = start_mock(children)
            chosen = [sweep for name, sweep in sweeps(asked.window).items() if name in asked.curves]
            curves = [curve_of(children, mock, sweep, asked.rounds, notes) for sweep in chosen]
        except (ToolMissing, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 2
        finally:
            children.stop_all()
    settings = {"rounds": float(asked.rounds), "window s": asked.window}
    record = CurvesRecord(dt.datetime.now(dt.UTC).date().isoformat(), machine, settings, curves, notes)
    out = asked.json or (RESULTS if asked.save else BUILD) / f"{record.measured_on}-curves.json"
    save(record, out)
    return 1 if any(found.faults for curve in curves for found in curve.found) else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for; usage errors end the program with status 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(sweeps(1))
    parser.add_argument("--curves", type=lambda text: text.split(","), default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each target at each point (2)")
    parser.add_argument("--window", type=float, default=1.0, help="seconds measured in each turn (1)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--json", type=Path, metavar="OUT", help="write the record here, page and charts beside it")
    where.add_argument("--save", action="store_true", help="write all to benchmarks/results, to be committed")
    asked = parser.parse_args(arguments)
    for name in asked.curves:
        if name not in names:
            parser.error(f"there is no curve {name!r}; there are {', '.join(names)}")
    return asked


def curve_of(children: Children, mock: MockUpstream, sweep: Sweep, rounds: int, notes: list[str]) -> Curve:
    """The curve, all its points measured."""
    found: list[Found] = []
    firsts: dict[str, float] = {}
    running: dict[str, Target] = {}
    starters: object = None
    before = len(children.started)
    for point in sweep.points:
        if point.starters != starters:
            children.stop_all(down_to=before)
            running, starters = start(children, mock, point, notes), point.starters
        for line, results in turns(children.bench, mock, running, point, rounds).items():
            costs = [cost(sweep, result) for result, _ in results]
            middle = statistics.median(costs)
            rss_mb = max(sum(use.rss_kb for use in result.processes.values()) for result, _ in results) / 1024
            faults = [fault for _, each in results for fault in each]
            first = middle / firsts.setdefault(line, middle)
            found.append(Found(line, point.x, spread_of(costs), first, rss_mb, faults))
            verdict = "; ".join(faults) or "ok"
            print(f"{sweep.name} {point.x}: {line}: {middle:.1f} µs: {verdict}", file=sys.stderr, flush=True)
    children.stop_all(down_to=before)
    return Curve(sweep.name, sweep.title, sweep.across, sweep.what, sweep.memory, sweep.why, found)


def start(children: Children, mock: MockUpstream, point: Point, notes: list[str]) -> dict[str, Target]:
    """A point's targets, ready; one that is not installed is noted and left out."""
    running = {}
    for line, starter in point.starters:
        try:
            running[line] = starter(children, mock)
        except ToolMissing as error:
            if str(error) not in notes:
                notes.append(str(error))
    for target in running.values():
        target.await_ready()
    return running


def turns(
    bench: Bench, mock: MockUpstream, running: dict[str, Target], point: Point, rounds: int
) -> dict[str, list[tuple[LoadResult, list[str]]]]:
    """{line: (what came of the load, why it does not count) of each round}."""
    found: dict[str, list[tuple[LoadResult, list[str]]]] = {line: [] for line in running}
    keys = bench.scratch / f"keys-{point.keys}"
    keys.write_text("\n".join(key_list(point.keys, point.load.connections)) + "\n")
    more = (f"--keys={keys}",) if point.keys > 1 else ()
    for _ in range(rounds):
        for line, target in running.items():
            with idle_connections(target.port, target.key, point.idle):
                pids = [pid for part in target.processes().values() for pid in part]
                before = mock.tell(events=max(point.load.events, 1), pace_us=point.pace_us).requests
                client = begin(bench, point.load, target.port, target.key, pids, target.manner, more=more)
                result = collect(client, point.load)
                found[line].append((result, faults_of(result, mock.tell().requests - before, None)))
    return found


def cost(sweep: Sweep, result: LoadResult) -> float:
    """CPU for one request or event, in µs."""
    count = result.events if sweep.what == "event" else result.requests
    return sum(use.cpu_us for use in result.processes.values()) / max(count, 1)


def page(record: CurvesRecord, stem: str) -> str:
    """The record as Markdown."""
    machine = record.machine
    settings = ", ".join(f"{name} {value:g}" for name, value in record.settings.items())
    lines = [
        f"# What a request's cost depends on, {record.measured_on}",
        "",
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, {machine.python}; commit {machine.commit}.",
        f"Settings: {settings}. Medians, quartiles in brackets; × is to the first row.",
        "[Why they are not all flat](../README.md#the-curves).",
        "",
        *record.notes,
    ]
    for curve in record.curves:
        drawn = f"![{curve.title}]({stem}-{curve.name}.svg)"
        lines += ["", f"## {curve.title}", "", drawn, "", curve.why, "", *table(curve)]
        lines += [f"- {found.line}, {found.x}: {fault}" for found in curve.found for fault in found.faults]
    return "\n".join(lines) + "\n"


def table(curve: Curve) -> list[str]:
    """A curve as a Markdown table: a row for each point."""
    names = list(dict.fromkeys(found.line for found in curve.found))
    heads = [f"{name}, µs per {curve.what} | ×" + (" | RSS, MB" if curve.memory else "") for name in names]
    columns = len(names) * (3 if curve.memory else 2)
    lines = [f"| {curve.across} | " + " | ".join(heads) + " |", "|---|" + "---|" * columns]
    for x in dict.fromkeys(found.x for found in curve.found):
        cells = []
        for name in names:
            here = next(found for found in curve.found if (found.line, found.x) == (name, x))
            spread = here.cpu_us
            cells.append(f"{short(spread.median)} ({short(spread.low)}–{short(spread.high)}) | {here.first:.2f}")
            cells += [f"{here.rss_mb:.1f}"] if curve.memory else []
        lines.append(f"| {x} | " + " | ".join(cells) + " |")
    return lines


def save(record: CurvesRecord, path: Path) -> None:
    """Writes record, page and charts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(msgspec.to_builtins(record), indent=1, ensure_ascii=False) + "\n")
    text = page(record, path.stem)
    path.with_suffix(".md").write_text(text)
    for curve in record.curves:
        lines: dict[str, list[tuple[float, float]]] = {}
        for found in curve.found:
            lines.setdefault(found.line, []).append((found.x, found.cpu_us.median))
        drawn = chart(curve.title, curve.across, f"µs per {curve.what}", lines)
        path.with_name(f"{path.stem}-{curve.name}.svg").write_text(drawn)
    print("\n" + text)
    print(f"written to {path}, its page and its charts beside it", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
