"""Lives, one seed each: what came of them, and how to see one again.

python -m tests.simulation.lives --life SEED
"""

import argparse
import sys
from collections import Counter
from multiprocessing import Pool
from typing import NamedTuple

from tests.simulation.judge import faults_of
from tests.simulation.life import Life


class Lived(NamedTuple):
    """What came of a life."""

    seed: int
    counts: Counter[str]
    faults: list[str]


def live(seed: int) -> Lived:
    """The life of a seed, judged."""
    try:
        life = Life(seed)
        life.live()
        faults = faults_of(life)
    except Exception as error:  # noqa: BLE001 - a life that cannot be judged is a fault with its seed
        return Lived(seed, Counter(), [f"{type(error).__name__}: {error}"])
    counts = Counter(life.deeds)
    counts["requests"] = len(life.requests)
    counts["answered"] = sum(request.answered for request in life.requests.values())
    counts["imported"] = len(life.clerk.imported)
    papers = life.books.invoices()
    counts["credit notes"] = sum(bool(paper.corrects) for paper in papers)
    counts["invoices"] = len(papers) - counts["credit notes"]
    counts["statements"] = len(life.books.statements())
    counts["log records"] = life.machine.acknowledged
    life.books.close()
    return Lived(seed, counts, faults)


def live_all(lives: int, seed: int, processes: int) -> tuple[Counter[str], list[Lived]]:
    """(what happened in all of them, those with faults)."""
    counts: Counter[str] = Counter()
    faulty = []
    with Pool(processes) as pool:
        for lived in pool.imap_unordered(live, range(seed, seed + lives), chunksize=8):
            counts += lived.counts
            if lived.faults:
                faulty.append(lived)
    return counts, sorted(faulty)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--life", type=int, required=True)
    lived = live(parser.parse_args().life)
    for what, count in sorted(lived.counts.items()):
        print(f"{what}: {count}")
    print(*lived.faults, sep="\n")
    print(f"life {lived.seed}: {len(lived.faults)} faults")
    return 1 if lived.faults else 0


if __name__ == "__main__":
    sys.exit(main())
