"""Loads the gateway for half an hour with everything that clients and upstreams do, and counts every request.

Plain requests and streams, connections that come and go, clients that leave, upstreams that fail, keys that are
rotated and revoked, a new snapshot every two seconds; the rate is adjusted so that gateway and log process together
take the asked share of a core. At the end each request must have been metered exactly once, and memory, open files
and latency must not have grown. See README.md.
"""

import argparse
import datetime as dt
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gateway.load import start_mock  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.machine import this_machine  # noqa: E402
from benchmarks.gateway.native_tools import BUILD, ToolMissing  # noqa: E402
from benchmarks.gateway.processes import Bench, Children  # noqa: E402
from benchmarks.gateway.product import entrepot  # noqa: E402
from benchmarks.gateway.soaking.report import SoakRecord, page  # noqa: E402
from benchmarks.gateway.soaking.soak import Soak  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"


def main(arguments: Sequence[str]) -> int:
    """0 when everything stayed as it should, 1 when not, 2 when it cannot run here."""
    asked = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="soak-", dir=BUILD, ignore_cleanup_errors=True) as scratch:
        cores = sorted(os.sched_getaffinity(0))
        children = Children(Bench(cores[0], cores[-1], Path(scratch)))
        try:
            record = run(children, asked)
        except (ToolMissing, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 2
        finally:
            children.stop_all()
    text = page(record)
    print("\n" + text)
    out = asked.json or (RESULTS if asked.save else BUILD) / f"{record.measured_on}-soak.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(msgspec.to_builtins(record), indent=1, ensure_ascii=False) + "\n")
    out.with_suffix(".md").write_text(text)
    return 1 if record.faults else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for; usage errors end the program with status 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800, help="how long (1800)")
    parser.add_argument("--slice", type=float, default=20, help="seconds between two rotations of keys (20)")
    parser.add_argument(
        "--share", type=float, default=0.7, help="of a core, for gateway and log process together (0.7)"
    )
    parser.add_argument("--streams", type=int, default=200, help="open at any time (200)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--json", type=Path, metavar="OUT", help="write the record here, and as Markdown beside it")
    where.add_argument("--save", action="store_true", help="write both to benchmarks/results, to be committed")
    return parser.parse_args(arguments)


def run(children: Children, asked: argparse.Namespace) -> SoakRecord:
    """What was found. Raises: ToolMissing, RuntimeError when it cannot run at all."""
    machine = this_machine(ROOT, children.bench.scratch)
    mock = start_mock(children)
    product = entrepot(20, 20, children, mock)
    product.await_ready()
    soak = Soak(children.bench, mock, product, asked.streams, asked.share)
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < asked.seconds:
        soak.go_on(min(asked.slice, max(1.0, asked.seconds - elapsed)))
        print(soak.progress(), file=sys.stderr, flush=True)
    soak.end()
    settings = {"seconds": asked.seconds, "slice": asked.slice, "share": asked.share, "streams": asked.streams}
    return soak.record(dt.datetime.now(dt.UTC).date().isoformat(), machine, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
