"""`make simulate`: breaks the product on purpose, rates everything twice, and counts the money.

    python tests/simulation/run.py [--seed 1] [--lives 2000] [--cases 1000000] [--runs 20] [--only PART …]

Four parts, a line each, and more where something is wrong; the exit status is 1 when any part found a fault.
planted: mistakes put into the product, each of which must be found. lives: the product in one process, with faults.
oracle: invoices against a second calculation. crashes: real processes, killed while they serve.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.oracle.run import run as run_oracle
from tests.simulation.crashes import CrashRun, Finding
from tests.simulation.lives import live_all
from tests.simulation.planted import hunt_all

SHOWN_MAX = 10


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first run, life and round; the next ones follow")
    parser.add_argument("--lives", type=int, default=2000)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=20, help="of real processes")
    parser.add_argument("--requests", type=int, default=200, help="in each of them")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where directories of crash runs with faults are left")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    given = parser.parse_args()
    good = [PARTS[name](given) for name in PARTS if name in given.only]
    return 0 if all(good) else 1


def _say(text: str) -> None:
    print(text, flush=True)


def _planted(given: argparse.Namespace) -> bool:
    caught = hunt_all(given.processes)
    for item in caught:
        _say(f"  {item.line()}")
    found = sum(item.seed is not None for item in caught)
    _say(f"planted: {found} of {len(caught)} mistakes caught")
    return found == len(caught)


def _lives(given: argparse.Namespace) -> bool:
    counts, faulty = live_all(given.lives, given.seed, given.processes)
    for lived in faulty[:SHOWN_MAX]:
        _say(f"life {lived.seed} has faults; again: .venv/bin/python -m tests.simulation.lives --life {lived.seed}")
        for fault in lived.faults[:3]:
            _say(f"  {fault}")
    named = ("requests", "answered", "imported", "log records", "invoices", "credit notes", "statements")
    misfortunes = ", ".join(f"{what} {count:,}" for what, count in sorted(counts.items()) if what not in named)
    _say(
        f"lives: {given.lives - len(faulty):,} of {given.lives:,} without a fault; {counts['requests']:,} requests, "
        f"{counts['imported']:,} imported records, {counts['invoices']:,} invoices, {counts['credit notes']:,} credit "
        f"notes, {counts['statements']:,} statements; {misfortunes}"
    )
    return not faulty


def _oracle(given: argparse.Namespace) -> bool:
    return run_oracle(given.cases, given.seed, given.processes, _say)


def _crashes(given: argparse.Namespace) -> bool:
    keep = given.keep or Path(tempfile.mkdtemp(prefix="entrepot-crashes-"))
    faulty = served = 0
    with ThreadPoolExecutor(given.processes) as pool:
        seeds = range(given.seed, given.seed + given.runs)
        for finding in pool.map(lambda seed: run_one(seed, given.requests, keep), seeds):
            served += finding.served
            if finding.faults:
                faulty += 1
                _say(finding.line())
                for fault in finding.faults[:SHOWN_MAX]:
                    _say(f"  {fault}")
    _say(
        f"crashes: {given.runs - faulty} of {given.runs} runs of real processes without a fault; {served:,} requests"
        + (f"; the others are in {keep}" if faulty else "")
    )
    return not faulty


def run_one(seed: int, requests: int, keep: Path) -> Finding:
    """One run; its directory stays only when it found a fault."""
    directory = keep / f"seed-{seed}"
    directory.mkdir(parents=True)
    try:
        finding = CrashRun(seed, directory, requests, waits_for="memory" if seed % 3 == 2 else "disk").find()
    except Exception as error:  # noqa: BLE001 - a run that cannot be judged is a fault with its seed
        finding = Finding(seed, requests, faults=[f"{type(error).__name__}: {error}"])
    if not finding.faults:
        shutil.rmtree(directory)
    return finding


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "planted": _planted,
    "lives": _lives,
    "oracle": _oracle,
    "crashes": _crashes,
}


if __name__ == "__main__":
    sys.exit(main())
