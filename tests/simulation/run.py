"""`make simulate`: kills the product at random, over and over, and counts every token.

    python tests/simulation/run.py --runs 20 --seed 1 [--requests 200] [--keep DIR]

Prints a line a run; the exit status is 1 when any run found a fault.
"""

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.simulation.crashes import CrashRun, Finding


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next ones follow")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where directories of runs with faults are left")
    given = parser.parse_args()
    keep = given.keep or Path(tempfile.mkdtemp(prefix="entrepot-crashes-"))
    faulty = 0
    with ThreadPoolExecutor(given.parallel) as pool:
        seeds = range(given.seed, given.seed + given.runs)
        for finding in pool.map(lambda seed: run_one(seed, given.requests, keep), seeds):
            print(finding.line(), flush=True)
            for fault in finding.faults[:10]:
                print(f"  {fault}")
            faulty += bool(finding.faults)
    print(f"{given.runs - faulty} of {given.runs} runs equal" + (f"; the others are in {keep}" if faulty else ""))
    return 1 if faulty else 0


def run_one(seed: int, requests: int, keep: Path) -> Finding:
    """One run; its directory stays only when it found a fault."""
    directory = keep / f"seed-{seed}"
    directory.mkdir(parents=True)
    try:
        finding = CrashRun(seed, directory, requests).find()
    except Exception as error:  # noqa: BLE001 - a run that cannot be judged is a fault with its seed
        finding = Finding(seed, requests, faults=[f"{type(error).__name__}: {error}"])
    if not finding.faults:
        shutil.rmtree(directory)
    return finding


if __name__ == "__main__":
    sys.exit(main())
