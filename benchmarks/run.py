"""Measures the gateway beside nginx, other proxies and other LLM gateways, in one run. See README.md."""

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

from benchmarks.gateway.compared import CONTENDERS, EVERYBODY  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.goals import goals  # noqa: E402
from benchmarks.gateway.load import start_mock  # noqa: E402
from benchmarks.gateway.machine import this_machine, versions  # noqa: E402
from benchmarks.gateway.native_tools import BUILD, ToolMissing, compiled  # noqa: E402
from benchmarks.gateway.page import page  # noqa: E402
from benchmarks.gateway.phases import MANY_STREAMS, Phase, phases  # noqa: E402
from benchmarks.gateway.processes import Bench, Children, open_files_max  # noqa: E402
from benchmarks.gateway.results import Findings, Record, faults, save  # noqa: E402
from benchmarks.gateway.rounds import Rounds  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
LEFT_OUT = ("unasked",)  # unless it is asked for
_HELD_OPEN = ("memory", "streams")  # phases that need this many files on both sides


def main(arguments: Sequence[str]) -> int:
    """0 when every figure counts, 1 when something failed or went unmetered, 2 when it cannot run here."""
    asked = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = {name: phase for name, phase in phases(asked.window).items() if name in asked.phases}
    BUILD.mkdir(parents=True, exist_ok=True)  # On the disk of the checkout: in /tmp a sync may cost nothing.
    with tempfile.TemporaryDirectory(prefix="run-", dir=BUILD, ignore_cleanup_errors=True) as scratch:
        cores = sorted(os.sched_getaffinity(0))
        children = Children(Bench(cores[0], cores[-1], Path(scratch), asked.priority))
        try:
            record = run(children, asked, chosen)
        except (ToolMissing, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 2
        finally:
            children.stop_all()
    found = goals(Findings(record, chosen))
    text = page(record, chosen, found)
    print("\n" + text)
    out = asked.json or (RESULTS if asked.save else BUILD) / f"{record.measured_on}-gateway.json"
    save(record, out, chosen, text, found)
    print(f"written to {out} and {out.with_suffix('.md')}", file=sys.stderr)
    void = faults(record)
    print("\n".join(f"VOID: {fault}" for fault in void), file=sys.stderr, end="\n" if void else "")
    return 1 if void else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for; usage errors end the program with status 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = list(phases(1))
    usual = [name for name in names if name not in LEFT_OUT]

    def listed(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--targets", type=listed, default=list(EVERYBODY), help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument("--phases", type=listed, default=usual, help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each target in each phase (4)")
    parser.add_argument("--gateway-rounds", type=int, default=2, help="turns of each other LLM gateway (2)")
    parser.add_argument("--window", type=float, default=1.5, help="seconds measured in each turn (1.5)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--json", type=Path, metavar="OUT", help="write the record here, and as Markdown beside it")
    where.add_argument("--save", action="store_true", help="write both to benchmarks/results, to be committed")
    parser.add_argument(
        "--priority",
        action="store_true",
        help="hold neighbours off on a shared machine: nice -18 and SCHED_RR; needs root",
    )
    asked = parser.parse_args(arguments)
    for kind, given, known in (("target", asked.targets, CONTENDERS), ("phase", asked.phases, names)):
        for name in given:
            if name not in known:
                parser.error(f"there is no {kind} {name!r}; there are {', '.join(known)}")
    if asked.rounds < 1 or asked.gateway_rounds < 1 or asked.window <= 0:
        parser.error("--rounds, --gateway-rounds and --window must be above zero")
    return asked


def run(children: Children, asked: argparse.Namespace, chosen: dict[str, Phase]) -> Record:
    """The record of all rounds. Raises: ToolMissing, RuntimeError when one of ours cannot be measured at all."""
    notes: list[str] = []
    compiled("load_client")
    machine = this_machine(ROOT, children.bench.scratch)
    if len(os.sched_getaffinity(0)) < 2:
        notes.append("Only one core: the load shares it with the target, and latencies mean little.")
    leave_out(chosen, notes)
    mock = start_mock(children)
    rounds = Rounds(children, mock, asked.rounds, asked.gateway_rounds, notes)
    rounds.start(asked.targets)
    for phase in chosen.values():
        rounds.measure(phase)
    settings = {
        "rounds": asked.rounds,
        "rounds of gateways": asked.gateway_rounds,
        "window s": asked.window,
        "priority": asked.priority,
    }
    seen = versions(list(dict.fromkeys(figure.target for figure in rounds.figures)))
    return Record(dt.datetime.now(dt.UTC).date().isoformat(), machine, settings, seen, rounds.figures, notes)


def leave_out(chosen: dict[str, Phase], notes: list[str]) -> None:
    """Drops phases for which too few files may be open, with a note."""
    needed = 2 * MANY_STREAMS + 200
    if open_files_max() < needed:
        without = [name for name in _HELD_OPEN if chosen.pop(name, None)]
        notes += [f"No phase {name}: it needs {needed} open files, {open_files_max()} are allowed." for name in without]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
