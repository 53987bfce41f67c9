"""The usage log alone: what a request costs it, how long an answer waits for it, and how fast it is read back.

    python benchmarks/usage_log.py [--seconds S] [--home DIR] [--json]
    python benchmarks/usage_log.py --against CHECKOUT [--rounds N]

One log process and one client that does what a gateway does for a request: appends its admission, and some turns of the
loop later settles its usage (about 190 and 330 bytes) and waits until that is durable. Either N waiters do so without
a pause, or requests come at a fixed pace. CPU is the kernel's count for the whole process; sleeps are how often the log
process went to sleep, which is how often it had to be woken. The disk's own pace stands beside it.

`--against` takes turns with another checkout on the same disk and prints both: figures of two days cannot be compared.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.usage_sink import SocketUsageSink
from entrepot.compose.usage_log import connect_usage_sink
from entrepot.ports.event_log import START, Told
from tests.support.log_records import admitted, usage

WAITERS = (1, 16, 64, 256)
PACE_PER_S = 500
ANSWERED_AFTER_S = 0.001

Figures = dict[str, float | str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each load")
    parser.add_argument("--home", type=Path, help="a directory on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each, with --against")
    given = parser.parse_args()
    if given.against is not None:
        print(table(compare(given.against, given.rounds, given.seconds, given.home)))
        return
    home = Path(tempfile.mkdtemp(prefix="entrepot-bench-", dir=given.home))
    try:
        figures = measure(home, given.seconds)
    finally:
        shutil.rmtree(home)
    if given.json:
        print(json.dumps(figures))
    else:
        print(f"{table(figures['loads'])}\nraw fdatasync per second: {figures['raw_flushes_per_s']}")  # type: ignore[arg-type]
        print(f"read back: {figures['read']}")


def compare(other: Path, rounds: int, seconds: float, home: Path | None) -> list[Figures]:
    """The median figures of this checkout and the other, which took turns."""
    checkouts = {"this": Path(__file__).resolve().parents[1], "other": other.resolve()}
    found: dict[tuple[str, str], list[Figures]] = {}
    for _ in range(rounds):
        for name, checkout in checkouts.items():
            command = [sys.executable, __file__, "--json", "--seconds", str(seconds)]
            command += ["--home", str(home)] if home else []
            environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            for row in json.loads(done.stdout)["loads"]:
                found.setdefault((row["load"], name), []).append(row)
    loads = dict.fromkeys(load for load, _ in found)
    return [{"checkout": name, **middle(found[load, name])} for load in loads for name in checkouts]


def middle(rows: list[Figures]) -> Figures:
    """The median of each figure."""
    return {
        key: value if isinstance(value, str) else round(statistics.median(float(row[key]) for row in rows), 2)
        for key, value in rows[0].items()
    }


def measure(home: Path, seconds: float) -> dict[str, object]:
    """All figures."""
    raw = raw_flushes(home, min(seconds, 2.0))
    process = subprocess.Popen(
        [sys.executable, "-m", "entrepot.compose.log_process", "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        loads = [uvloop.run(run(home, waiters, seconds, process.pid)) for waiters in (None, *WAITERS)]
    finally:
        process.terminate()
        process.wait()
    return {"raw_flushes_per_s": raw, "loads": loads, "read": read(home)}


def raw_flushes(home: Path, seconds: float) -> int:
    """Appends of 500 bytes, each with its own fdatasync, per second."""
    descriptor = os.open(home / "raw", os.O_CREAT | os.O_RDWR)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        os.pwrite(descriptor, bytes(500), count * 500)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return round(count / (time.perf_counter() - began))


async def run(home: Path, waiters: int | None, seconds: float, log_pid: int) -> Figures:
    """The figures of one load: this many waiters, or PACE_PER_S requests a second."""
    sink = await connect_usage_sink(home, f"bench-{waiters}", lambda: None)
    load = Load(sink)
    own, log, slept, began = time.process_time(), cpu_s(log_pid), sleeps(log_pid), time.perf_counter()
    if waiters is None:
        await load.at_a_pace(seconds)
    else:
        await load.without_pause(waiters, seconds)
    load.ending = True
    while load.count < load.next:  # noqa: ASYNC110 - nobody tells when the last one is answered
        await asyncio.sleep(ANSWERED_AFTER_S)
    count, wall = load.count, time.perf_counter() - began
    own, log, slept = time.process_time() - own, cpu_s(log_pid) - log, sleeps(log_pid) - slept
    await sink.close()
    waits = sorted(load.waits)
    return {
        "load": f"{PACE_PER_S}/s" if waiters is None else f"{waiters} waiters",
        "requests_per_s": round(count / wall),
        "wait_us_p50": round(statistics.median(waits) * 1e6),
        "wait_us_p99": round(waits[int(len(waits) * 0.99)] * 1e6),
        "log_cpu_us": round(log / count * 1e6, 2),
        "log_sleeps": round(slept / count, 3),
        "client_cpu_us": round(own / count * 1e6, 2),
    }


class Load:
    """Requests that are admitted, settle and wait."""

    def __init__(self, sink: SocketUsageSink) -> None:
        self.sink = sink
        self.loop = asyncio.get_running_loop()
        self.count = 0
        self.ending = False
        self.waits: list[float] = []
        self.next = 0

    async def without_pause(self, waiters: int, seconds: float) -> None:
        """Each waiter's next request begins when its last one is durable."""
        for _ in range(waiters):
            self.begin_again()
        await asyncio.sleep(seconds)

    async def at_a_pace(self, seconds: float) -> None:
        """Requests begin on a schedule, whatever becomes of them, and are answered a millisecond later."""
        began = self.loop.time()
        for number in range(int(seconds * PACE_PER_S)):
            await asyncio.sleep(max(0.0, began + number / PACE_PER_S - self.loop.time()))
            self.loop.call_later(ANSWERED_AFTER_S, self.settle, self.admit(), _nothing)
        await asyncio.sleep(10 * ANSWERED_AFTER_S)

    def begin_again(self) -> None:
        if not self.ending:
            self.loop.call_soon(self.settle, self.admit(), self.begin_again)

    def admit(self) -> int:
        self.next += 1
        self.sink.append(admitted(self.next, "bench"))
        return self.next

    def settle(self, number: int, then: Callable[[], None]) -> None:
        began = time.perf_counter()

        def done() -> None:
            self.count += 1
            self.waits.append(time.perf_counter() - began)
            then()

        self.sink.settle(usage(number), Told(done, refused))


def refused() -> None:
    raise SystemExit("the log refused a record; is the disk full?")


def _nothing() -> None:
    """Nobody waits."""


def read(home: Path) -> dict[str, float]:
    """How many records a second of CPU reads, and how many bytes a second of CPU checks against the chain of seals."""
    reader = DiskLogReader(LocalDisk(home / "log"))
    began, place, count = time.process_time(), START, 0
    while batch := list(reader.read(place, 10_000)):
        count += len(batch)
        place = batch[-1][0]
    reading = time.process_time() - began
    began = time.process_time()
    checked = reader.check()
    checking = time.process_time() - began
    return {
        "records": count,
        "bytes_per_record": round(checked.size_bytes / count),
        "records_per_cpu_s": round(count / reading),
        "checked_mb_per_cpu_s": round(checked.size_bytes / checking / 1e6),
    }


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system, all threads that live."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def sleeps(pid: int) -> int:
    """How often a process gave its core away by itself, all threads that live."""
    texts = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts)


def table(rows: list[Figures]) -> str:
    """The figures for a person."""
    names = list(rows[0])
    lines = [names, *([str(row[name]) for name in names] for row in rows)]
    return "\n".join("  ".join(f"{cell:>14}" for cell in line) for line in lines)


if __name__ == "__main__":
    main()
