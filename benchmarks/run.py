"""Measures the gateway beside nginx and a common Python proxy, in one run. See README.md; `make bench` calls this."""

import argparse
import datetime as dt
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gateway.compared import DEFAULT, STARTERS, start_all  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.load import MockUpstream, start_mock  # noqa: E402
from benchmarks.gateway.native_tools import BUILD, ToolMissing, compiled  # noqa: E402
from benchmarks.gateway.phases import STREAMS_HELD, Figure, Phase, measure, phases  # noqa: E402
from benchmarks.gateway.processes import Bench, Children, open_files_max  # noqa: E402
from benchmarks.gateway.results import Record, document, faults, save, this_machine  # noqa: E402
from benchmarks.gateway.targets import Target  # noqa: E402

DEFAULT_PHASES = ("requests", "latency", "events", "memory")


def main(arguments: Sequence[str]) -> int:
    """0 when every figure counts, 1 when something failed or went unmetered, 2 when it cannot run here."""
    asked = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = {name: phase for name, phase in phases(asked.window).items() if name in asked.phases}
    BUILD.mkdir(parents=True, exist_ok=True)  # On the disk of the checkout: in /tmp a sync may cost nothing.
    with tempfile.TemporaryDirectory(prefix="run-", dir=BUILD) as scratch:
        cores = sorted(os.sched_getaffinity(0))
        bench = Bench(cores[0], cores[-1], Path(scratch), asked.priority)
        children = Children(bench)
        try:
            record = run(children, asked, chosen)
        except (ToolMissing, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 2
        finally:
            children.stop_all()
    print("\n" + document(record, chosen))
    if asked.json:
        save(record, asked.json, chosen)
        print(f"written to {asked.json} and {asked.json.with_suffix('.md')}", file=sys.stderr)
    void = faults(record)
    print("\n".join(f"VOID: {fault}" for fault in void), file=sys.stderr, end="\n" if void else "")
    return 1 if void else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for; usage errors end the program with status 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = list(phases(1))
    parser.add_argument(
        "--targets", type=lambda text: text.split(","), default=list(DEFAULT), help=f"of {', '.join(STARTERS)}"
    )
    parser.add_argument(
        "--phases", type=lambda text: text.split(","), default=list(DEFAULT_PHASES), help=f"of {', '.join(names)}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each target in each phase (3)")
    parser.add_argument("--window", type=float, default=2.0, help="seconds measured in each turn (2)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the record here, and as Markdown beside it")
    parser.add_argument(
        "--priority",
        action="store_true",
        help="hold neighbours off on a shared machine: nice -18 and SCHED_RR; needs root",
    )
    asked = parser.parse_args(arguments)
    for kind, given, known in (("target", asked.targets, STARTERS), ("phase", asked.phases, names)):
        for name in given:
            if name not in known:
                parser.error(f"there is no {kind} {name!r}; there are {', '.join(known)}")
    if asked.rounds < 1 or asked.window <= 0:
        parser.error("--rounds and --window must be above zero")
    return asked


def run(children: Children, asked: argparse.Namespace, chosen: dict[str, Phase]) -> Record:
    """The record of all rounds. Raises: ToolMissing, RuntimeError when a target cannot be measured at all."""
    notes: list[str] = []
    compiled("load_client")
    machine = this_machine(ROOT, children.bench.scratch)
    if len(os.sched_getaffinity(0)) < 2:
        notes.append("Only one core: the load shares it with the target, and latencies mean little.")
    if "memory" in chosen and open_files_max() < 2 * STREAMS_HELD + 200:
        notes.append(f"No memory phase: it needs {2 * STREAMS_HELD + 200} open files, {open_files_max()} are allowed.")
        del chosen["memory"]
    mock = start_mock(children)
    running = start_all(children, mock, asked.targets, notes)
    figures = list(take_turns(children.bench, running, mock, chosen, asked.rounds))
    settings = {"rounds": asked.rounds, "window s": asked.window, "priority": asked.priority}
    return Record(dt.datetime.now(dt.UTC).date().isoformat(), machine, settings, figures, notes)


def take_turns(
    bench: Bench, running: dict[str, Target], mock: MockUpstream, chosen: dict[str, Phase], rounds: int
) -> Sequence[Figure]:
    """All figures: phase by phase, and in each phase round by round, every target in its turn."""
    figures: list[Figure] = []
    for phase in chosen.values():
        for number in range(1 if phase.once else rounds):
            for name, target in running.items():
                figure = measure(bench, phase, name, target, mock, number)
                figures.append(figure)
                verdict = "; ".join(figure.faults) or "ok"
                print(f"{phase.name} {number + 1}: {name}: {verdict}", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
