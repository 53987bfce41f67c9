"""The speed of money: every benchmark of the books, and the results that are committed.

    python benchmarks/money.py [PART …] [--records N …] [--contracts N …] [--home DIR] [--save]

Parts: fold, checks, what-if, contracts (the close beside the number of contracts), records (the close beside the number
of records). What --save finds goes into benchmarks/results as JSON and as Markdown, in place of the same figure from
before; each figure says at which commit and when. All times are CPU seconds of one process on one core, if they are not
called wall.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import books, checks, close, what_if  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.machine import this_machine  # noqa: E402
from benchmarks.money_page import Measured, Results, page  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PARTS = ("fold", "checks", "what-if", "contracts", "records")
EVENTS = 1_000_000
SERIES = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all")
    parser.add_argument("--records", type=int, nargs="+", default=[3_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--contracts", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--home", type=Path, help="a directory on the disk to be measured; default: a temporary one")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: no part; there are {', '.join(PARTS)}")
    for part in given.parts or PARTS:
        for name, figures in runs(part, given.contracts, given.records, given.home):
            print(f"{part}, {name}")
            print("\n".join(f"  {key:46} {value:>16}" for key, value in figures.items()), flush=True)
            if given.save:
                save(part, name, figures)


def runs(
    part: str, contracts: Sequence[int], records: Sequence[int], home: Path | None
) -> Iterator[tuple[str, dict[str, float | str]]]:
    """(what of the part, its figures)."""
    if part == "fold":
        for kind in ("imported", "served"):
            with tempfile.TemporaryDirectory(prefix="entrepot-books-", dir=home) as made:
                yield kind, {**books.measure(Path(made) / "books.db", EVENTS, SERIES, kind)}
    elif part == "checks":
        yield "three days", {**checks.measure(3, home)}
    elif part == "what-if":
        with tempfile.TemporaryDirectory(prefix="entrepot-what-if-", dir=home) as made:
            yield f"{EVENTS:,} events", {**what_if.measure(Path(made) / "books.db", EVENTS, SERIES)}
    elif part == "contracts":
        for number in contracts:
            yield f"{number:,} contracts", close.measure(number, 0, home)
    else:
        for number in records:
            most = max(contracts)
            yield f"{most:,} contracts, {number:,} records", close.measure(most, number, home)


def save(part: str, name: str, figures: dict[str, float | str]) -> None:
    """Puts what was found into today's results."""
    now = datetime.now(UTC)
    file = RESULTS / f"{now:%Y-%m-%d}-books.json"
    with tempfile.TemporaryDirectory() as scratch:
        machine = this_machine(ROOT, Path(scratch))
    earlier = msgspec.json.decode(file.read_bytes(), type=Results).measured if file.exists() else []
    found = Measured(part, name, f"{now:%H:%M}", machine.commit, round(os.getloadavg()[0], 1), figures)
    kept = [item for item in earlier if (item.part, item.name) != (part, name)]
    results = Results(machine, [*kept, found])
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    file.with_suffix(".md").write_text(page(f"{now:%Y-%m-%d}", results))


if __name__ == "__main__":
    main()
