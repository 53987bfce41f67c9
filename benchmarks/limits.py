"""What limits cost a request: CPU of gateways and of what counts, with limits beside without, and how often it asked.

    .venv/bin/python benchmarks/limits.py [--rounds 3] [--places process-1,machine-1,…] [--page FILE]

Every number of limits takes its turn in each round, in the same processes. See README.md.
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gateway.load import Load, MockUpstream, send, start_mock  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.processes import Bench, Children, tree  # noqa: E402
from benchmarks.gateway.product import Product, await_word, entrepot  # noqa: E402
from benchmarks.gateway.targets import KEY  # noqa: E402
from entrepot.adapters.snapshot_file import FileSnapshots  # noqa: E402
from entrepot.compose.settings import load_settings  # noqa: E402
from entrepot.core.capacity import Limit, ServedLimit  # noqa: E402
from entrepot.core.periods import MINUTE  # noqa: E402
from tests.support.valkey import ValkeyServer, running_valkey  # noqa: E402

LIMITS = (0, 1, 4, 8)
PLACES = ("process-1", "machine-1", "machine-2", "machine-4", "valkey-1", "valkey-2", "valkey-4")
UNITS = 10**12  # A minute: nobody is ever short.
ADOPTED_S = 0.6
LOAD = Load(connections=48, warm_s=0.4, window_s=1.6)
_METRIC = re.compile(r"^(entrepot_limit_(?:holds|draws)_total)(?:\{[^}]*\})? (\d+)", re.MULTILINE)


class Turn(NamedTuple):
    """One number of limits in one round. cpu_us: for a request, of gateways and log; kept_us: of what counts."""

    cpu_us: float
    kept_us: float
    asked: float


class Row(NamedTuple):
    """What a place shows with so many limits; ratio: to the same place without."""

    place: str
    limits: int
    cpu_us: float
    kept_us: float
    ratio: float
    asked: float


class Place:
    """Where limits are counted, with so many gateways, running."""

    def __init__(self, name: str, children: Children, mock: MockUpstream, server: ValkeyServer) -> None:
        self.name = name
        store, _, gateways = name.partition("-")
        more = {"ENTREPOT_COUNTERS": store, "ENTREPOT_VALKEY_URL": server.url}
        self.counting: list[int] = []
        if store == "machine":
            home = children.bench.scratch / f"entrepot-1-1-{gateways}-1"
            command = [sys.executable, "-m", "entrepot.compose.counter_process", "--home", str(home)]
            owner = children.start(f"{name}-counters", command, None, cwd=ROOT)
            await_word(owner, '"ready":true')
            self.counting = tree(owner.pid)
        elif store == "valkey":
            self.counting = [server.pid]
        self.product: Product = entrepot(1, 1, children, mock, workers=int(gateways), more=more)
        self.product.await_ready()
        self._snapshots = FileSnapshots(load_settings({}, {"home": str(self.product.home)}).snapshot_file)
        self._bench = children.bench

    def turn(self, count: int) -> Turn:
        """What requests cost that meet so many limits."""
        self._limit(count)
        holds, draws = self._told()
        processes = self.product.processes()
        serving = [*processes["gateway"], *processes["log"]]
        result = send(self._bench, LOAD, self.product.port, KEY, [*serving, *self.counting])
        if result.failed or not result.requests:
            raise RuntimeError(f"{self.name}: {result.failed} of {result.requests} requests failed")
        time.sleep(1.5)  # What gateways have counted is told once a second.
        more_holds, more_draws = self._told()
        asked = (more_draws - draws) / (more_holds - holds) if more_holds > holds else 0.0

        def cpu_us(pids: Sequence[int]) -> float:
            return sum(result.processes[str(pid)].cpu_us for pid in pids if str(pid) in result.processes)

        return Turn(cpu_us(serving) / result.requests, cpu_us(self.counting) / result.requests, asked)

    def _limit(self, count: int) -> None:
        snapshot = self._snapshots.load()
        assert snapshot is not None
        limits = tuple(
            ServedLimit(Limit(f"{self.name}/{n}", "tokens", "window", UNITS, MINUTE), f"limit {n}", "the benchmark")
            for n in range(count)
        )
        for project in snapshot.projects.values():
            for name, item in project.deployments.items():
                project.deployments[name] = msgspec.structs.replace(item, limits=limits)
        self._snapshots.publish(msgspec.structs.replace(snapshot, version=snapshot.version + 1))
        time.sleep(ADOPTED_S)

    def _told(self) -> tuple[int, int]:
        """How many requests were held by limits, and how many draws they took, of all gateways."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.product.port}/metrics", timeout=10) as answer:
            found = _METRIC.findall(answer.read().decode())
        told = {name: sum(int(value) for other, value in found if other == name) for name, _ in found}
        return told.get("entrepot_limit_holds_total", 0), told.get("entrepot_limit_draws_total", 0)


def measure(name: str, rounds: int) -> list[Row]:
    """The rows of one place."""
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="entrepot-bench-"))
        server = stack.enter_context(running_valkey())
        children = Children(Bench(0, 1, Path(scratch)))
        stack.callback(children.stop_all)
        place = Place(name, children, start_mock(children), server)
        turns: dict[int, list[Turn]] = {count: [] for count in LIMITS}
        for number in range(rounds + 1):
            for count in LIMITS:
                turn = place.turn(count)
                if number:  # The first round warms up.
                    turns[count].append(turn)
    rows = []
    for count in LIMITS:
        pairs = list(zip(turns[count], turns[0], strict=True))
        ratio = statistics.median((on.cpu_us + on.kept_us) / (off.cpu_us + off.kept_us) for on, off in pairs)
        middle = [statistics.median(values) for values in zip(*turns[count], strict=True)]
        rows.append(Row(name, count, middle[0], middle[1], ratio, middle[2]))
    return rows


def page(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| counted in, gateways | limits | CPU µs, gateways and log | of what counts | × without | asked |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.place} | {row.limits} | {row.cpu_us:.0f} | {row.kept_us:.1f} | {row.ratio:.3f} | {row.asked:.2%} |"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--places", type=lambda text: text.split(","), default=list(PLACES))
    parser.add_argument("--page", type=Path, help="where the table is written, too")
    asked = parser.parse_args(arguments)
    rows: list[Row] = []
    for name in asked.places:
        rows += measure(name, asked.rounds)
        print(page(rows[-len(LIMITS) :]), flush=True)
    if asked.page is not None:
        asked.page.write_text(page(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
