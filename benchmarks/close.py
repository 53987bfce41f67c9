"""The close of a large month after incremental rating: CPU, time, memory, the largest transaction.

    python benchmarks/close.py [--contracts N] [--records N] [--home DIR] [--json]

What stands before the close is what the fold of so many usage records leaves: readings, posted hour by hour as marks
pass. The readings are made here and enter through the books' own adapter; the usage records themselves are not folded
(benchmarks/books.py measures that). Contracts have shares of the records as clients have in published traces: a power
law, a few with most of it, most with some hours of the month. From the marks on all is the product's: rating, posting,
invoices, recovery points. Single core; the disk is the one under --home.
"""

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.books import EncodedLog, cpu, settled_size  # noqa: E402 the root has to be on the path first
from entrepot.adapters.sql.books import open_books  # noqa: E402
from entrepot.core.charges import Series  # noqa: E402
from entrepot.core.log_records import Marked, MonthClosed, WorldApplied  # noqa: E402
from entrepot.core.periods import HOUR, Instant, parse_instant  # noqa: E402
from entrepot.core.prices import Price, Step  # noqa: E402
from entrepot.core.terms import Minimum, Tax  # noqa: E402
from entrepot.core.world import World, encode_world  # noqa: E402
from entrepot.ports.books import Books  # noqa: E402
from entrepot.workers import Fold  # noqa: E402
from tests.support.billing import contract, prices, version, world  # noqa: E402

MARCH = parse_instant("2024-03-01")
APRIL = parse_instant("2024-04-01")
HOURS = (APRIL - MARCH) // HOUR
STEEPNESS = 1.5  # Share of the n-th contract is n to the minus this: the first hundredth has nine tenths.
TOKENS = {"cached_input_tokens": 310, "input_tokens": 905, "output_tokens": 212}  # Of a record, on average.
DISCOUNTED_EVERY, STEPPED_EVERY = 10, 20

_Readings = dict[tuple[Series, str, Instant], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contracts", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=100_000_000, help="usage records behind the readings")
    parser.add_argument("--home", type=Path, help="a directory on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="entrepot-close-", dir=given.home))
    try:
        figures = measure(home / "books.db", given.contracts, given.records)
    finally:
        shutil.rmtree(home)
    print(
        json.dumps(figures) if given.json else "\n".join(f"{name:34} {value:>16,}" for name, value in figures.items())
    )


def measure(file: Path, contracts: int, records: int) -> dict[str, float]:
    """All figures of one month."""
    books = open_books(str(file))
    log = EncodedLog()
    worker = Fold(books, note=lambda _: watch_wal(file, largest))
    largest = [0]
    log.put([WorldApplied(at=0, world=encode_world(declared(contracts)))])
    worker.step(log)
    counted = readings = 0
    rating = 0.0
    for number, (of_records, hour) in enumerate(hours(contracts, records)):
        counted += of_records
        readings += len(hour)
        with books.transaction():
            books.add_readings(hour)
        log.put([Marked(at=MARCH + (number + 1) * HOUR)])
        rating += cpu(lambda: worker.step(log))
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{number + 1} of {HOURS} hours, {readings:,} readings, rated in {rating:.0f} CPU-s ")
    before = peak_mb()
    largest[0] = 0
    log.put([MonthClosed(at=APRIL + HOUR, period="2024-03")])
    began = time.perf_counter()
    closing = cpu(lambda: worker.step(log))
    took = time.perf_counter() - began
    assert books.recovery_point() is None
    return {
        "contracts": contracts,
        "usage_records_behind": counted,
        "readings": readings,
        "journal_entries": books.root()[0],
        "readings_rated_posted_per_cpu_s": round(readings / rating),
        "invoices": invoices_of(books),
        "close_cpu_s": round(closing, 1),
        "close_wall_s": round(took, 1),
        "readings_closed_per_cpu_s": round(readings / closing),
        "peak_memory_mb_before_the_close": before,
        "peak_memory_mb": peak_mb(),
        "wal_mb_max_while_closing": largest[0] // 2**20,
        "books_mb": settled_size(file) // 2**20,
    }


def declared(contracts: int) -> World:
    """A world of so many customers, some with minimums and taxes, some with prices by quantity."""
    flat = prices(("m", "input_tokens", "0.15"), ("m", "cached_input_tokens", "0.075"), ("m", "output_tokens", "0.6"))
    steps = (Step(10**8, 150_000), Step(None, 120_000))
    stepped = (Price("m", "input_tokens", "default", 0, mode="graduated", steps=steps), *flat[1:])
    made = []
    for number in range(contracts):
        terms = (Minimum(10**12), Tax(2 * 10**11, "VAT")) if number % DISCOUNTED_EVERY == 0 else ()
        book = "stepped" if number % STEPPED_EVERY == 0 else "list"
        made.append(contract(name_of(number), terms=terms, price_book=book))
    names = [name_of(number) for number in range(contracts)]
    return world(version(flat), version(stepped, book="stepped"), contracts=made, customers=names)


def name_of(number: int) -> str:
    return f"customer-{number:05d}"


def hours(contracts: int, records: int) -> Iterator[tuple[int, _Readings]]:
    """(how many records, their readings) of each hour of March."""
    chance = random.Random(1)
    weights = [(number + 1) ** -STEEPNESS for number in range(contracts)]
    rates = [records * weight / sum(weights) / HOURS for weight in weights]
    series = [series_of(number) for number in range(contracts)]
    owed = [chance.random() for _ in range(contracts)]
    for number in range(HOURS):
        counted, readings = 0, _Readings()
        for whose in range(contracts):
            owed[whose] += rates[whose] * 2 * chance.random()
            used = int(owed[whose])
            owed[whose] -= used
            if used:
                counted += used
                for meter, tokens in TOKENS.items():
                    quantity = used * tokens + chance.randrange(tokens)
                    readings[series[whose], meter, MARCH + number * HOUR] = quantity
        yield counted, readings


def series_of(number: int) -> Series:
    name = name_of(number)
    book = "stepped" if number % STEPPED_EVERY == 0 else "list"
    return Series(f"{name}@2024-01-01", f"{book}@2024-01-01", name, "p", "chat", "m", "default")


def invoices_of(books: Books) -> int:
    return sum(1 for _ in books.invoices("2024-03"))


def watch_wal(file: Path, largest: list[int]) -> None:
    """Keeps the greatest size of the write-ahead log seen between two transactions."""
    wal = file.with_name(file.name + "-wal")
    largest[0] = max(largest[0], wal.stat().st_size if wal.exists() else 0)


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
