"""What a new world would change on a month, beside a plain fold of the same month.

    python benchmarks/what_if.py [--events N] [--series N] [--json]

The month is that of benchmarks/books.py: folded once from encoded records into books on disk, then counted again
under a world with other prices: reading by reading, and event by event. Ratios are of CPU time, so neighbours on the
machine do not blur them. Single core.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.books import APRIL, CUSTOMERS, batches, cpu, fold_all  # noqa: E402 the root has to be on the path first
from benchmarks.segment_log import SegmentLog  # noqa: E402
from entrepot.adapters.sql.books import open_books  # noqa: E402
from entrepot.bills import rebill  # noqa: E402
from entrepot.core.invoices import Invoice  # noqa: E402
from entrepot.core.log_records import Marked, WorldApplied  # noqa: E402
from entrepot.core.periods import DAY, Period, parse_period  # noqa: E402
from entrepot.core.world import World, WorldIndex, encode_world  # noqa: E402
from entrepot.flows.price_diff import PriceDiff, Usage, price_diff  # noqa: E402
from entrepot.workers import Fold  # noqa: E402
from tests.support.billing import prices, version, world  # noqa: E402

PERIOD = parse_period("2024-03")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--series", type=int, default=500, help="deployments the events are spread over")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="entrepot-what-if-"))
    try:
        figures = measure(home / "books.db", given.events, given.series)
    finally:
        shutil.rmtree(home)
    print(
        json.dumps(figures) if given.json else "\n".join(f"{name:34} {value:>14,}" for name, value in figures.items())
    )


def declared(*rows: tuple[str, str, str]) -> World:
    """A world of the month's customers with these prices."""
    return world(version(prices(*rows)), customers=[f"customer-{number:02d}" for number in range(CUSTOMERS)])


def measure(file: Path, events: int, series: int) -> dict[str, float]:
    """All figures."""
    now = declared(("m", "input_tokens", "0.15"), ("m", "cached_input_tokens", "0.075"), ("m", "output_tokens", "0.6"))
    then = declared(("m", "input_tokens", "0.14"), ("m", "cached_input_tokens", "0.05"), ("m", "output_tokens", "0.7"))
    books, log = open_books(str(file)), SegmentLog(file.with_name("log"))
    worker = Fold(books)
    log.put([WorldApplied(at=0, world=encode_world(now))])
    worker.step(log)
    folding = sum(fold_all(worker, log, batches(events, series, "imported")))
    log.put([Marked(at=APRIL + DAY)])
    folding += cpu(lambda: worker.step(log))
    terms = WorldIndex(now)
    found: list[PriceDiff] = []

    def compared(*, by_events: bool) -> float:
        return cpu(lambda: found.append(price_diff(books, terms, then, PERIOD, scratch, by_events=by_events)))

    by_readings, by_events = compared(by_events=False), compared(by_events=True)
    assert found[0].totals == found[1].totals
    return {
        "events": events,
        "readings": sum(1 for _ in books.readings(0, APRIL)),
        "fold_cpu_s": round(folding, 1),
        "what_if_by_readings_cpu_s": round(by_readings, 1),
        "what_if_by_events_cpu_s": round(by_events, 1),
        "by_readings_of_a_fold": round(by_readings / folding, 3),
        "by_events_of_a_fold": round(by_events / folding, 3),
    }


def scratch(under: World, usage: Usage, first: Period, last: Period) -> list[Invoice]:
    return rebill(open_books(""), under, usage, first, last)


if __name__ == "__main__":
    main()
