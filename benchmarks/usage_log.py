"""The usage log alone: how many events a second become durable, what each costs, and how fast they are read back.

    python benchmarks/usage_log.py [--seconds S] [--home DIR] [--json]

One log process and one client with N waiters, each of which settles a usage record of the usual size (about 280 bytes),
waits until it is durable and settles the next: the load of N answers ending all the time. CPU is counted per process,
by the kernel. The disk's own pace stands beside it; compare ratios, not absolutes. `compare` reads figures from a file.
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
from pathlib import Path

import uvloop

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.usage_sink import SocketUsageSink
from entrepot.compose.usage_log import connect_usage_sink
from entrepot.core.log_records import UsageRecorded
from entrepot.core.usage_event import UsageEvent
from entrepot.ports.event_log import START

WAITERS = (1, 16, 64, 256, 1024)
RAW = b'{"prompt_tokens":812,"completion_tokens":144,"total_tokens":956,"prompt_tokens_details":{"cached_tokens":0}}'
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each number of waiters")
    parser.add_argument("--home", type=Path, help="a directory on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="entrepot-bench-", dir=given.home))
    try:
        figures = measure(home, given.seconds)
    finally:
        shutil.rmtree(home)
    print(json.dumps(figures) if given.json else table(figures))


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
        settled = [uvloop.run(settle(home, waiters, seconds, process.pid)) for waiters in WAITERS]
    finally:
        process.terminate()
        process.wait()
    return {"raw_flushes_per_s": raw, "settled": settled, "read": read(home)}


def raw_flushes(home: Path, seconds: float) -> int:
    """Appends of 300 bytes, each with its own fdatasync, per second."""
    descriptor = os.open(home / "raw", os.O_CREAT | os.O_RDWR)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        os.pwrite(descriptor, bytes(300), count * 300)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return round(count / (time.perf_counter() - began))


async def settle(home: Path, waiters: int, seconds: float, log_pid: int) -> dict[str, float]:
    """Durable events per second, waiting times and CPU for a number of waiters."""
    sink = await connect_usage_sink(home, f"bench-{waiters}", lambda: None)
    load = Load(sink, waiters)
    own, log, began = time.process_time(), cpu_s(log_pid), time.perf_counter()
    load.begin()
    await asyncio.sleep(seconds)
    count, wall = load.count, time.perf_counter() - began
    own, log = time.process_time() - own, cpu_s(log_pid) - log
    load.ending = True
    await sink.close()
    waits = sorted(load.waits)
    return {
        "waiters": waiters,
        "durable_per_s": round(count / wall),
        "wait_ms_p50": round(statistics.median(waits) * 1000, 3),
        "wait_ms_p99": round(waits[int(len(waits) * 0.99)] * 1000, 3),
        "log_cpu_us": round(log / count * 1e6, 2),
        "client_cpu_us": round(own / count * 1e6, 2),
    }


class Load:
    """Waiters that settle, wait and settle again."""

    def __init__(self, sink: SocketUsageSink, waiters: int) -> None:
        self.sink = sink
        self.waiters = waiters
        self.count = 0
        self.ending = False
        self.waits: list[float] = []
        self.next = 0

    def begin(self) -> None:
        for _ in range(self.waiters):
            self.settle()

    def settle(self) -> None:
        self.next += 1
        began = time.perf_counter()

        def done() -> None:
            self.count += 1
            self.waits.append(time.perf_counter() - began)
            if not self.ending:
                self.settle()

        self.sink.settle(usage(self.next), done, refused)


def refused() -> None:
    raise SystemExit("the log refused a record; is the disk full?")


def usage(number: int) -> UsageRecorded:
    """A usage record of the usual size."""
    return UsageRecorded(
        UsageEvent(
            id=f"{number:032x}",
            admitted_at=1_709_625_600_000_000 + number,
            finished_at=1_709_625_602_000_000 + number,
            customer="tiktok",
            project="search",
            deployment="chat",
            model="gpt-4",
            tier="default",
            meters={"input_tokens": 812, "output_tokens": 144},
            outcome="stop",
            upstream="azure-east",
            key="key-0001",
            raw=RAW,
        )
    )


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
    """CPU seconds of a process so far, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def table(figures: dict[str, object]) -> str:
    """The figures for a person."""
    settled = figures["settled"]
    assert isinstance(settled, list)
    names = list(settled[0])
    lines = [f"raw fdatasync per second: {figures['raw_flushes_per_s']}", "  ".join(f"{name:>13}" for name in names)]
    lines += ["  ".join(f"{row[name]:>13}" for name in names) for row in settled]
    return "\n".join([*lines, f"read back: {figures['read']}"])


if __name__ == "__main__":
    main()
