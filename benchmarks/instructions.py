"""User-mode instructions per request and per streamed event, counted by valgrind. See README.md.

On a quiet machine a difference of two in a hundred is real; the kernel's work is not among them. Neighbours add to
them: what the gateway does as time goes by, and at each turn of its loop, falls on fewer requests then. So what is
beyond the gate is counted again, and the least counts.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gateway.compared import start_all  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.load import Load, MockUpstream, begin, start_mock  # noqa: E402
from benchmarks.gateway.native_tools import ToolMissing  # noqa: E402
from benchmarks.gateway.processes import Bench, Children, asleep  # noqa: E402
from benchmarks.gateway.targets import Target  # noqa: E402

# What is executed while a target starts is not counted, and so costs a fraction of the time; see begin_counting.
VALGRIND = "valgrind --tool=callgrind --instr-atstart=no --trace-children=yes --quiet"
GATE = Path(__file__).with_name("instructions.json")
GATED = "entrepot"
SETTLING_S = 4  # All connections are open and have been used by then.
COUNTING_S = 4
TRIES = 5
LASTING_S = 300  # Longer than any counting; the load is ended with it.
PACE_US = 40_000
REQUESTS = Load(connections=64, warm_s=0, window_s=LASTING_S)
STREAMS = Load(connections=20, warm_s=1.1, window_s=LASTING_S, stagger_s=1.02, events=LASTING_S * 10**6 // PACE_US)

Counted = dict[str, float]  # By part of a target, thousands of instructions for one.


class Gate(msgspec.Struct, frozen=True):
    """What the gateway may take, in thousands of instructions; CI fails when it takes more."""

    request: float
    event: float


OPEN = Gate(math.inf, math.inf)


def main(arguments: Sequence[str]) -> int:
    """0, 1 when the gateway takes more than the gate lets it, or 2 when it cannot be counted here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=lambda text: text.split(","), default=["nginx", GATED])
    parser.add_argument("--gate", action="store_true", help=f"fail when the gateway takes more than {GATE.name} says")
    asked = parser.parse_args(arguments)
    gate = msgspec.json.decode(GATE.read_bytes(), type=Gate) if asked.gate else OPEN
    try:
        if shutil.which("valgrind") is None:
            raise ToolMissing("valgrind is needed. On Debian and Ubuntu: apt-get install valgrind")
        counted = {name: count_target(name, gate if name == GATED else OPEN) for name in asked.targets}
    except (ToolMissing, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    faults = beyond(counted.get(GATED), gate) if asked.gate else []
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def beyond(found: tuple[Counted, Counted] | None, gate: Gate) -> list[str]:
    """What of the gateway is beyond the gate, a sentence each."""
    if found is None:
        return [f"{GATED} was not counted"]
    kinds = (("request", found[0], gate.request), ("event", found[1], gate.event))
    return [
        f"the gateway takes {counted['gateway']:.1f} k instructions a {kind}; {GATE.name} lets it take {limit:.1f} k"
        for kind, counted, limit in kinds
        if counted["gateway"] > limit
    ]


def count_target(name: str, gate: Gate) -> tuple[Counted, Counted] | None:
    """What the target's parts execute for a request and for an event, having printed it; None when it cannot run."""
    with tempfile.TemporaryDirectory(prefix="entrepot-bench-") as scratch:
        cores = sorted(os.sched_getaffinity(0))
        out = Path(scratch) / "callgrind.out.%p"
        children = Children(
            Bench(cores[0], cores[-1], Path(scratch)), (*VALGRIND.split(), f"--callgrind-out-file={out}")
        )
        try:
            mock = start_mock(children)
            notes: list[str] = []
            running = start_all(children, mock, [name], notes)
            print("\n".join(notes), end="\n" if notes else "")
            if name not in running:
                return None
            target = running[name]
            begin_counting(target)
            requests = count(children, mock, target, REQUESTS, lambda: mock.tell().requests, gate.request)
            mock.tell(events=STREAMS.events, pace_us=PACE_US)
            events = count(children, mock, target, STREAMS, lambda: mock.tell().events_sent, gate.event)
            print(f"{name}: {shown(requests, 'request')}; {shown(events, 'event')}", flush=True)
            return requests, events
        finally:
            children.stop_all()


def count(
    children: Children, mock: MockUpstream, target: Target, load: Load, done: Callable[[], int], enough: float
) -> Counted:
    """What one of what the mock upstream counts takes, while nothing begins or ends but that. enough: see least."""
    client = begin(children.bench, load, target.port, target.key, [])
    try:
        time.sleep(SETTLING_S)
        return least(lambda: count_once(children, mock, target, done), enough)
    finally:
        client.kill()
        client.communicate()


def least(count: Callable[[], Counted], enough: float) -> Counted:
    """The least of up to TRIES counts; no more are made than it takes to find one in which the gateway takes enough."""
    found = [count()]
    while (taken := found[-1].get("gateway", 0)) > enough and len(found) < TRIES:
        print(f"counted {taken:.1f} k, beyond {enough:.1f} k; it is counted again", flush=True)
        found.append(count())
    return min(found, key=lambda each: each.get("gateway", 0))


def count_once(children: Children, mock: MockUpstream, target: Target, done: Callable[[], int]) -> Counted:
    """What was executed in a while, by what was done in it.

    Valgrind takes its time to obey, more so on a busy machine. Nothing is done meanwhile, for the upstream stands
    still: what was done is what was counted.
    """
    before = done()
    with asleep(mock.child):
        zero(target)
    time.sleep(COUNTING_S)
    number = done() - before
    with asleep(mock.child):
        taken = counted(children, target)
    if not number:
        raise RuntimeError("nothing was answered while it was counted; is the machine very busy?")
    return {part: instructions / number / 1000 for part, instructions in taken.items()}


def begin_counting(target: Target) -> None:
    """From now on, what is executed is counted."""
    for pid in all_pids(target):
        control("--instr=on", pid)


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
    """The instructions in the newest dump of a process, which is removed; waits for it to be whole."""
    for _ in range(100):
        dumps = sorted(scratch.glob(f"callgrind.out.{pid}.*"), key=lambda path: int(path.suffix[1:]))
        totals = [line for line in dumps[-1].read_text().splitlines() if line.startswith("totals:")] if dumps else []
        if totals:
            for path in dumps:
                path.unlink()
            return int(totals[0].split()[1])
        time.sleep(0.1)
    raise RuntimeError(f"valgrind wrote no count for process {pid}")


def all_pids(target: Target) -> list[int]:
    """Every process of the target."""
    return [pid for pids in target.processes().values() for pid in pids]


def shown(found: Counted, what: str) -> str:
    """For example: 57.1 k a request (gateway 50.0, log 7.1)."""
    parts = ", ".join(f"{part} {value:.1f}" for part, value in found.items())
    return f"{sum(found.values()):.1f} k a {what}" + (f" ({parts})" if len(found) > 1 else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
