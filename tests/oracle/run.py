"""The product and a second calculation, one generated bill after the other.

    python -m tests.oracle.run [--cases 1000000] [--seed 1] [--processes 2] [--round SEED]

Exits 1 when they differ in any line, with the command that shows the round again.
"""

import argparse
import sys
from collections.abc import Callable
from multiprocessing import Pool
from typing import NamedTuple

from tests.oracle.compare import Agreement, agree
from tests.oracle.generated import CASES
from tests.oracle.laws import broken_laws

LAWS_EVERY = 20  # Rounds; each costs as much as five others.


class Compared(NamedTuple):
    """What one round came to."""

    seed: int
    agreement: Agreement
    had_laws: bool
    broken: list[str]


def compare(seed: int) -> Compared:
    """The round of a seed, and on every twentieth the laws as well."""
    try:
        agreement = agree(seed)
        has_laws = seed % LAWS_EVERY == 0
        return Compared(seed, agreement, has_laws, broken_laws(seed) if has_laws else [])
    except Exception as error:  # noqa: BLE001 - a round that cannot be rated is a fault with its seed
        return Compared(seed, Agreement(0, 0, 0, [f"{type(error).__name__}: {error}"]), had_laws=False, broken=[])


def run(cases: int, seed: int, processes: int, say: Callable[[str], None]) -> bool:
    """Whether all went well. say: is told of what did not, and in the end what was done."""
    seeds = range(seed, seed + -(-cases // CASES))
    totals, laws, faulty = Agreement(0, 0, 0, []), 0, 0
    with Pool(processes) as pool:
        for done in pool.imap_unordered(compare, seeds, chunksize=4):
            totals = totals.plus(done.agreement)
            laws += done.had_laws
            if done.agreement.differences or done.broken:
                faulty += 1
                say(f"round {done.seed} differs; again: .venv/bin/python -m tests.oracle.run --round {done.seed}")
                for text in (*done.agreement.differences, *done.broken)[:3]:
                    say(f"  {text}")
    say(
        f"oracle: {totals.cases:,} customers with {totals.uses:,} usage records in {len(seeds):,} rounds, "
        f"{totals.lines:,} invoice lines compared; the laws of arrival on {laws:,} rounds; {faulty} rounds differ"
    )
    return not faulty


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--round", type=int, help="one round alone, with the laws")
    given = parser.parse_args()
    if given.round is None:
        return 0 if run(given.cases, given.seed, given.processes, lambda text: print(text, flush=True)) else 1
    found = [*agree(given.round).differences, *broken_laws(given.round)]
    print(*found, sep="\n")
    print(f"round {given.round}: {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
