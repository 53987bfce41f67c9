"""User-mode instructions per request and per streamed event, counted by valgrind. See README.md.

No neighbour changes them, so a difference of two in a hundred is real; the kernel's work is not among them.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gateway.compared import DEFAULT, DIRECT, start_all  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.load import Load, MockUpstream, begin, collect, send, start_mock  # noqa: E402
from benchmarks.gateway.native_tools import ToolMissing  # noqa: E402
from benchmarks.gateway.processes import Bench, Children  # noqa: E402
from benchmarks.gateway.targets import Target  # noqa: E402

VALGRIND = "valgrind --tool=callgrind --trace-children=yes --quiet"
REQUESTS = Load(connections=64, warm_s=0, window_s=4)
PACE_US = 40_000
STREAMS = Load(connections=20, warm_s=1.1, window_s=0.1, stagger_s=1.02, events=200)


def main(arguments: Sequence[str]) -> int:
    """0, or 2 when it cannot be counted here."""
    parser = argparse.ArgumentParser(description=__doc__)
    compared = [name for name in DEFAULT if name != DIRECT]
    parser.add_argument("--targets", type=lambda text: text.split(","), default=compared)
    asked = parser.parse_args(arguments)
    try:
        if shutil.which("valgrind") is None:
            raise ToolMissing("valgrind is needed. On Debian and Ubuntu: apt-get install valgrind")
        for name in asked.targets:
            count_target(name)
    except (ToolMissing, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def count_target(name: str) -> None:
    """Prints a line with what the target's parts execute for a request and for an event."""
    with tempfile.TemporaryDirectory(prefix="entrepot-bench-") as scratch:
        cores = sorted(os.sched_getaffinity(0))
        out = Path(scratch) / "callgrind.out.%p"
        children = Children(
            Bench(cores[0], cores[-1], Path(scratch)), (*VALGRIND.split(), f"--callgrind-out-file={out}")
        )
        try:
            mock = start_mock(children)
            notes: list[str] = []
            for target in start_all(children, mock, [name], notes).values():
                print(f"{name}: {per_request(children, target, mock)}; {per_event(children, target, mock)}", flush=True)
            print("\n".join(notes), end="\n" if notes else "")
        finally:
            children.stop_all()


def per_request(children: Children, target: Target, mock: MockUpstream) -> str:
    """Thousands of instructions for a plain request, in all and by part."""
    send(children.bench, REQUESTS, target.port, target.key, [])  # Warm: connections open, code paths taken once.
    before = mock.tell().requests
    zero(target)
    send(children.bench, REQUESTS, target.port, target.key, [])
    return shown(counted(children, target), mock.tell().requests - before, "request")


def per_event(children: Children, target: Target, mock: MockUpstream) -> str:
    """Thousands of instructions for an event of a stream, counted while no stream starts or ends."""
    mock.tell(events=STREAMS.events, pace_us=PACE_US)
    client = begin(children.bench, STREAMS, target.port, target.key, [])
    time.sleep(3)
    zero(target)
    before = mock.tell().events_sent
    time.sleep(3)
    found = counted(children, target)
    sent = mock.tell().events_sent - before
    collect(client, STREAMS)
    return shown(found, sent, "event")


def zero(target: Target) -> None:
    """Begins to count anew."""
    for pid in all_pids(target):
        control("--zero", pid)


def counted(children: Children, target: Target) -> dict[str, int]:
    """{part: instructions since zero}."""
    for pid in all_pids(target):
        control("--dump", pid)
    return {
        part: sum(last_dump(children.bench.scratch, pid) for pid in pids) for part, pids in target.processes().items()
    }


def control(act: str, pid: int) -> None:
    """Has valgrind do something in the process. Raises: RuntimeError."""
    try:
        subprocess.run(["callgrind_control", act, str(pid)], check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        raise RuntimeError(f"valgrind does not answer in process {pid}: {error}") from None


def last_dump(scratch: Path, pid: int) -> int:
    """The instructions in the newest dump of a process; waits for it to be whole."""
    for _ in range(100):
        dumps = sorted(scratch.glob(f"callgrind.out.{pid}.*"), key=lambda path: int(path.suffix[1:]))
        totals = [line for line in dumps[-1].read_text().splitlines() if line.startswith("totals:")] if dumps else []
        if totals:
            return int(totals[0].split()[1])
        time.sleep(0.1)
    raise RuntimeError(f"valgrind wrote no count for process {pid}")


def all_pids(target: Target) -> list[int]:
    """Every process of the target."""
    return [pid for pids in target.processes().values() for pid in pids]


def shown(found: dict[str, int], count: int, what: str) -> str:
    """For example: 57.1 k a request (gateway 50.0, log 7.1)."""
    parts = ", ".join(f"{part} {value / count / 1000:.1f}" for part, value in found.items())
    return f"{sum(found.values()) / count / 1000:.1f} k a {what}" + (f" ({parts})" if len(found) > 1 else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
