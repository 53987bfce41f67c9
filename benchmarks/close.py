"""A large month from the log to its invoices: rated and posted hour by hour, then closed: CPU, time, memory, disk.

    python benchmarks/close.py [--contracts N] [--records N | --made] [--home DIR] [--json]

The month is that of benchmarks/month.py: the tokens of 100 million requests, in as many usage records as asked for.
Each hour's are written to a log on disk, read and folded from there in the worker's batches, and posted when the hour
is over; that is what "rated and posted" counts, from bytes on disk to committed books. With --made the hour's readings
enter through the books' adapter instead, without records. The close runs in a process of its own, as `entrepot close`
does, so memory is that of the close alone. Segments that are folded are removed, so the disk need not hold the whole
log. One process at a time; the disk is the one under --home.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.books import cpu, settled_size  # noqa: E402 the root has to be on the path first
from benchmarks.month import APRIL, HOURS, MARCH, REQUESTS, Records, declared, hours, readings_of  # noqa: E402
from benchmarks.segment_log import SegmentLog  # noqa: E402
from entrepot.adapters.disk_event_log.reader import DiskLogReader  # noqa: E402
from entrepot.adapters.local_disk import LocalDisk  # noqa: E402
from entrepot.adapters.sql.books import open_books  # noqa: E402
from entrepot.core.log_records import Marked, MonthClosed, WorldApplied  # noqa: E402
from entrepot.core.periods import HOUR  # noqa: E402
from entrepot.core.world import encode_world  # noqa: E402
from entrepot.workers import BATCH, Fold  # noqa: E402

Figures = dict[str, float | str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contracts", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=REQUESTS, help="in how many usage records the month comes")
    parser.add_argument("--made", action="store_true", help="no records: readings are made")
    parser.add_argument("--home", type=Path, help="a directory on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    given = parser.parse_args()
    figures = measure(given.contracts, 0 if given.made else given.records, given.home)
    rows = (f"{name:34} {f'{value:,}' if not isinstance(value, str) else value:>20}" for name, value in figures.items())
    print(json.dumps(figures) if given.json else "\n".join(rows))


def measure(contracts: int, records: int, home: Path | None = None) -> Figures:
    """All figures of one month. records: 0 where readings are made."""
    directory = Path(tempfile.mkdtemp(prefix="entrepot-close-", dir=home))
    try:
        figures: Figures = {"contracts": contracts}
        figures |= in_a_process(folded, directory, contracts, records)
        return figures | in_a_process(closed, directory)
    finally:
        shutil.rmtree(directory)


def in_a_process(work: Callable[..., Figures], *given: object) -> Figures:
    """What the work comes back with from a process of its own, whose memory is nobody else's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def folded(directory: Path, contracts: int, records: int) -> Figures:
    """The month rated and posted, hour by hour."""
    books, log = open_books(str(directory / "books.db")), SegmentLog(directory / "log")
    worker, made = Fold(books), Records(records)
    log.put([WorldApplied(at=0, world=encode_world(declared(contracts)))])
    worker.step(log)
    counted = readings = 0
    folding = posting = 0.0
    for number, hour in enumerate(hours(contracts)):
        begins = MARCH + number * HOUR
        expected = readings_of(hour, begins)
        readings += len(expected)
        if records:
            frames = made.of(hour, begins)
            counted += len(frames)
            for start in range(0, len(frames), BATCH):
                log.put_frames(frames[start : start + BATCH])
            del frames
            while spent := stepped(worker, log):
                folding += spent
        else:
            with books.transaction():
                books.add_readings(expected)
        log.put([Marked(at=begins + HOUR)])
        posting += stepped(worker, log)
        log.forget(books.position())
        if sys.stderr.isatty() or number % 24 == 0:
            sys.stderr.write(f"\r{number + 1} of {HOURS} hours, {counted:,} records folded in {folding:.0f} CPU-s, ")
            sys.stderr.write(f"{readings:,} readings posted in {posting:.0f} CPU-s ")
    entries, root = books.root()
    log.put([MonthClosed(at=APRIL + HOUR, period="2024-03")])
    log.close()
    books.close()
    figures: Figures = {"readings": readings, "journal_entries": entries, "journal_root": root[:16]}
    if records:
        figures |= {
            "usage_records": counted,
            "records_folded_per_cpu_s": round(counted / folding),
            "records_rated_posted_per_cpu_s": round(counted / (folding + posting)),
            "fold_cpu_s": round(folding, 1),
        }
    return figures | {"post_cpu_s": round(posting, 1), "readings_posted_per_cpu_s": round(readings / posting)}


def stepped(worker: Fold, log: SegmentLog) -> float:
    """The CPU seconds of one step of the fold; 0 where there was nothing to fold."""
    found: list[int] = []
    spent = cpu(lambda: found.append(worker.step(log)))
    return spent if found[0] else 0.0


def closed(directory: Path) -> Figures:
    """The month closed, its record being the last of the log."""
    file = directory / "books.db"
    books, log = open_books(str(file)), DiskLogReader(LocalDisk(directory / "log"))
    largest = [0]
    worker = Fold(books, note=lambda _: watch_wal(file, largest))
    began = time.perf_counter()
    closing = cpu(lambda: worker.step(log))
    took = time.perf_counter() - began
    assert books.recovery_point() is None
    invoices = sum(1 for _ in books.invoices("2024-03"))
    assert invoices, books.closings("2024-03")
    entries, root = books.root()
    books.close()
    return {
        "invoices": invoices,
        "close_cpu_s": round(closing, 1),
        "close_wall_s": round(took, 1),
        "close_peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "close_wal_mb_max": largest[0] // 2**20,
        "journal_entries_after_the_close": entries,
        "journal_root_after_the_close": root[:16],
        "books_mb": settled_size(file) // 2**20,
    }


def watch_wal(file: Path, largest: list[int]) -> None:
    """Keeps the greatest size of the write-ahead log seen between two transactions."""
    wal = file.with_name(file.name + "-wal")
    largest[0] = max(largest[0], wal.stat().st_size if wal.exists() else 0)


if __name__ == "__main__":
    main()
