"""The fold alone: how many records of the log a CPU-second turns into books, what a usage event takes on disk.

    python benchmarks/books.py [--events N] [--series N] [--kind imported|served] [--home DIR] [--json]

Records are written to a log on disk beforehand, a batch at a time, and read, checked and decoded inside the measured
time: it runs from bytes on disk to committed books, flushes included. Rated and posted: the same and a mark that posts
the whole month. `served` events have an Admitted record each and the upstream's usage object, `imported` ones have
neither. After the month is folded it is closed, then everything is folded a second time as repeats, and the requests
behind an invoice line are asked for. Single core; the disk is the one under --home.
"""

import argparse
import json
import random
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.segment_log import SegmentLog  # noqa: E402 the root has to be on the path first
from entrepot.adapters.sql.books import open_books  # noqa: E402
from entrepot.core.log_records import (  # noqa: E402
    Admitted,
    LogRecord,
    Marked,
    MonthClosed,
    UsageRecorded,
    WorldApplied,
)
from entrepot.core.periods import DAY, parse_instant  # noqa: E402
from entrepot.core.shortcuts import event_id  # noqa: E402
from entrepot.core.usage_event import UsageEvent  # noqa: E402
from entrepot.core.world import encode_world  # noqa: E402
from entrepot.workers import BATCH, Fold  # noqa: E402
from tests.support.billing import prices, version, world  # noqa: E402

MARCH = parse_instant("2024-03-01")
APRIL = parse_instant("2024-04-01")
CUSTOMERS = 20
PACE = 10_000_000  # Events a month; fewer events are the first part of such a month.
RAW = b'{"prompt_tokens":812,"completion_tokens":144,"total_tokens":956,"prompt_tokens_details":{"cached_tokens":0}}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--series", type=int, default=500, help="deployments the events are spread over")
    parser.add_argument("--kind", choices=("imported", "served"), default="imported")
    parser.add_argument("--home", type=Path, help="a directory on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="entrepot-books-", dir=given.home))
    try:
        figures = measure(home / "books.db", given.events, given.series, given.kind)
    finally:
        shutil.rmtree(home)
    print(
        json.dumps(figures) if given.json else "\n".join(f"{name:34} {value:>14,}" for name, value in figures.items())
    )


def measure(file: Path, events: int, series: int, kind: str) -> dict[str, int]:
    """All figures of one kind of events."""
    books = open_books(str(file))
    declared = world(
        version(
            prices(("m", "input_tokens", "0.15"), ("m", "cached_input_tokens", "0.075"), ("m", "output_tokens", "0.6"))
        ),
        customers=[f"customer-{number:02d}" for number in range(CUSTOMERS)],
    )
    worker = Fold(books)
    log = SegmentLog(file.with_name("log"))
    log.put([WorldApplied(at=0, world=encode_world(declared))])
    worker.step(log)
    first = sum(fold_all(worker, log, batches(events, series, kind)))
    size = settled_size(file)
    log.put([Marked(at=APRIL + DAY)])
    posting = cpu(lambda: worker.step(log))
    log.put([MonthClosed(at=APRIL, period="2024-03")])
    closing = cpu(lambda: worker.step(log))
    again = sum(fold_all(worker, log, batches(events, series, kind)))
    number = books.invoices("2024-03")[0].number
    behind: list[int] = []
    listing = cpu(lambda: behind.append(sum(1 for _ in books.requests_of_line(number, 3))))
    return {
        "events": events,
        "series": series,
        "events_per_cpu_s": round(events / first),
        "events_rated_and_posted_per_cpu_s": round(events / (first + posting)),
        "repeats_per_cpu_s": round(events / again),
        "bytes_per_event": round(size / events),
        "close_cpu_ms": round(closing * 1000),
        "journal_entries": books.root()[0],
        "requests_behind_a_line": behind[0],
        "requests_listed_per_cpu_s": round(behind[0] / listing),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def settled_size(file: Path) -> int:
    """The bytes of the database once its write-ahead log is copied back."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file.stat().st_size


def fold_all(worker: Fold, log: SegmentLog, records: Iterator[list[LogRecord]]) -> Iterator[float]:
    """The CPU seconds of each batch."""
    for batch in records:
        log.put(batch)
        yield cpu(lambda: worker.step(log))


def batches(events: int, series: int, kind: str) -> Iterator[list[LogRecord]]:
    """The records of a month in the order of time, with ids as the gateway mints them."""
    chance = random.Random(1)
    step = 31 * DAY // PACE
    each = 2 if kind == "served" else 1
    for start in range(0, events, BATCH // each):
        batch: list[LogRecord] = []
        for number in range(start, min(events, start + BATCH // each)):
            at = MARCH + number * step
            whose = min(int(chance.expovariate(6.0 / series)), series - 1)  # A few deployments have most of the usage.
            event = usage(number, at, whose, chance, kind)
            if kind == "served":
                batch.append(admitted(event))
            batch.append(UsageRecorded(event=event))
        yield batch


def usage(number: int, at: int, whose: int, chance: random.Random, kind: str) -> UsageEvent:
    served: dict[str, Any] = {"outcome": "stop", "upstream": "east", "key": f"key-{whose:04d}", "raw": RAW}
    return UsageEvent(
        id=event_id(at, 7, number),
        admitted_at=at,
        finished_at=at + chance.randrange(200_000, 20_000_000),
        customer=f"customer-{whose % CUSTOMERS:02d}",
        project=f"project-{whose % 100:03d}",
        deployment=f"deployment-{whose:04d}",
        model="m",
        tier="default",
        meters={
            "cached_input_tokens": chance.randrange(4000),
            "input_tokens": chance.randrange(4000),
            "output_tokens": chance.randrange(900),
        },
        **(served if kind == "served" else {}),
    )


def admitted(event: UsageEvent) -> Admitted:
    return Admitted(
        id=event.id,
        at=event.admitted_at,
        instance="one",
        customer=event.customer,
        project=event.project,
        deployment=event.deployment,
        model=event.model,
        tier=event.tier,
        upstream=event.upstream,
        key=event.key,
        prompt_tokens_estimate=1000,
    )


def cpu(work: Callable[[], object]) -> float:
    """The CPU seconds, user and system, that work takes in this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    main()
