"""What the checks of log and books take that read all of it: doctor, the day's reconciliation, verify; in CPU time.

    python benchmarks/checks.py [--days N] [--home DIR] [--json]

The first days of the month of benchmarks/close.py with a thousand contracts, from a log on disk. A day is reconciled
twice: by who begins to look, as `entrepot reconcile day` does, and by who has reconciled the day before, as the worker
has. Single core.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.books import cpu, settled_size  # noqa: E402 the root has to be on the path first
from benchmarks.month import MARCH, Records, declared, hours  # noqa: E402
from benchmarks.segment_log import SegmentLog  # noqa: E402
from entrepot.adapters.disk_event_log.reader import DiskLogReader  # noqa: E402
from entrepot.adapters.local_disk import LocalDisk  # noqa: E402
from entrepot.adapters.sql.books import open_books  # noqa: E402
from entrepot.core.log_records import Marked, WorldApplied  # noqa: E402
from entrepot.core.periods import DAY, HOUR  # noqa: E402
from entrepot.core.world import encode_world  # noqa: E402
from entrepot.flows.reconcile_books import reconcile_hours  # noqa: E402
from entrepot.metering.log_count import LogDays  # noqa: E402
from entrepot.workers import BATCH, Fold, fold, verify  # noqa: E402

CONTRACTS = 1000
RECORDS = 10_000_000  # A month; so a third of a million a day.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--home", type=Path, help="a directory on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    given = parser.parse_args()
    figures = measure(given.days, given.home)
    print(
        json.dumps(figures) if given.json else "\n".join(f"{name:34} {value:>14,}" for name, value in figures.items())
    )


def measure(days: int, home: Path | None = None) -> dict[str, float]:
    """All figures."""
    directory = Path(tempfile.mkdtemp(prefix="entrepot-checks-", dir=home))
    try:
        return _measured(directory, days)
    finally:
        shutil.rmtree(directory)


def _measured(directory: Path, days: int) -> dict[str, float]:
    file = directory / "books.db"
    books, worker_log = open_books(str(file)), SegmentLog(directory / "log")
    records = write_days(worker_log, days)
    fold(books, worker_log)
    terms = Fold(books).terms
    assert terms is not None
    reader = DiskLogReader(LocalDisk(directory / "log"))
    last = (MARCH + (days - 1) * DAY, MARCH + days * DAY)
    faults: list[str] = []

    def reconcile(counting: LogDays, since: int, until: int) -> None:
        faults.extend(reconcile_hours(books, terms, counting, since, until).faults)

    begun = LogDays(reader)
    reconcile(begun, last[0] - DAY, last[0])
    checked = cpu(reader.check)
    alone, next_day = cpu(lambda: reconcile(LogDays(reader), *last)), cpu(lambda: reconcile(begun, *last))
    verified = cpu(lambda: faults.extend(verify(books, open_books(""), reader)))
    assert not faults, faults
    size = reader.check().size_bytes
    return {
        "records": records,
        "days": days,
        "log_mb": size // 2**20,
        "books_mb": settled_size(file) // 2**20,
        "log_checked_cpu_s": round(checked, 2),
        "log_checked_cpu_us_a_record": round(checked / records * 1e6, 2),
        "last_day_reconciled_alone_cpu_s": round(alone, 2),
        "last_day_reconciled_after_the_day_before_cpu_s": round(next_day, 2),
        "verify_cpu_s": round(verified, 2),
        "verify_cpu_us_a_record": round(verified / records * 1e6, 2),
    }


def write_days(log: SegmentLog, days: int) -> int:
    """How many usage records the log has then."""
    made, written = Records(RECORDS), 0
    log.put([WorldApplied(at=0, world=encode_world(declared(CONTRACTS)))])
    for number, hour in zip(range(days * DAY // HOUR), hours(CONTRACTS), strict=False):
        frames = made.of(hour, MARCH + number * HOUR)
        for start in range(0, len(frames), BATCH):
            log.put_frames(frames[start : start + BATCH])
        log.put([Marked(at=MARCH + (number + 1) * HOUR)])
        written += len(frames)
    return written


if __name__ == "__main__":
    main()
