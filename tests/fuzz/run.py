"""Fuzzes the parsers that strangers' bytes reach, guided by coverage: `make fuzz`, or

    python tests/fuzz/run.py [--seconds 600] [--only requests|answers|streams|shortcuts]

Each target gets an equal share of the time, in a process of its own at the lowest priority, on a copy of the sources:
coverage can be seen in nothing that is compiled. The shortcuts are the other way round: C that is built to show where
it goes and to end the process at any step beyond its bounds (in_c.py), held against the sources that say the same. What
was found is then checked once more as the product is installed.
Inputs that reach something new are kept under build/fuzz/ and are begun with the next time; what breaks a rule is left
there as …-crash-…, printed with its reason, and makes the exit status 1. `--merge` reduces what was found to the few
inputs that reach the same, into tests/fuzz/corpus/, which every `make test` checks.
"""

import argparse
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.fuzz import in_c  # noqa: E402 the root has to be on the path first

CORPUS = ROOT / "tests" / "fuzz" / "corpus"
FOUND = ROOT / "build" / "fuzz"
SOURCES = FOUND / "sources"
SOURCES_IN_C = FOUND / "sources-in-c"
IN_C = "shortcuts"
TARGETS = ("requests", "answers", "streams", IN_C)
INPUT_BYTES_MAX = 2048
# What is instrumented: the product's parsers, and nothing of the references.
PARSERS = ("entrepot.core.chunked_coding", "entrepot.edge.http_requests", "entrepot.relay", "entrepot.dialects")

Trace = Callable[[FrameType, str, object], Any]


def main() -> int:
    """The exit status: 1 when a target broke a rule."""
    parser = argparse.ArgumentParser(description="Fuzzes the parsers that strangers' bytes reach.")
    parser.add_argument("--seconds", type=int, default=600, help="in all")
    parser.add_argument("--only", choices=TARGETS)
    parser.add_argument("--merge", action="store_true", help="reduce what was found into the committed corpus")
    parser.add_argument("--one", choices=TARGETS, help=argparse.SUPPRESS)
    given, options = parser.parse_known_args()
    if given.one:
        return merge(given.one) if given.merge else fuzz(given.one, options)
    targets = [given.only] if given.only else TARGETS
    for sources in (SOURCES, SOURCES_IN_C):
        without = shutil.ignore_patterns("*.so")
        shutil.copytree(ROOT / "src" / "entrepot", sources / "entrepot", ignore=without, dirs_exist_ok=True)
    if IN_C in targets:
        in_c.build(SOURCES_IN_C)
    if given.merge:
        return max([_child(target, "--merge", capture=False).returncode for target in targets])
    return max([run(target, given.seconds // len(targets)) for target in targets])


def run(target: str, seconds: int) -> int:
    """Fuzzes one target for so long. 1 when it broke a rule."""
    found = FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    done = _child(
        target,
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-artifact_prefix={found.parent}/{target}-",
        f"-dict={Path(__file__).parent / target}.dict",
        "-timeout=10",
        "-print_final_stats=1",
        str(found),
        str(CORPUS / target),
    )
    cover = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr)
    runs = re.findall(r"number_of_executed_units: (\d+)", done.stderr)
    if done.returncode or not cover or not runs:
        print(f"{target}: broke a rule\n{done.stderr[-4000:]}", file=sys.stderr)
        return 1
    print(f"{target}: {int(runs[-1]):,} runs, coverage {cover[-1][0]}, {cover[-1][2]} inputs kept, nothing found")
    return recheck(target)


def recheck(target: str) -> int:
    """Checks what was found on the product as it is installed, compiled where it is. 1 when that breaks a rule."""
    check = importlib.import_module(f"tests.fuzz.{target}_target").check
    for path in sorted((FOUND / target).iterdir()):
        try:
            check(path.read_bytes())
        except Exception as error:  # noqa: BLE001 - a finding, whatever it is
            print(f"{target}: {path} breaks a rule as installed: {error}", file=sys.stderr)
            return 1
    return 0


def merge(target: str) -> int:
    """Keeps the fewest inputs, short ones first, that reach every step from line to line that was reached. 0."""
    coverage = in_c.Coverage(SOURCES_IN_C) if target == IN_C else None
    check = importlib.import_module(f"tests.fuzz.{target}_target").check
    kept = CORPUS / target
    inputs = {path.read_bytes() for folder in (kept, FOUND / target) if folder.exists() for path in folder.iterdir()}
    reached: set[object] = set()
    chosen = []
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        fresh = (steps_in_c(coverage, check, data) if coverage else steps_of(check, data)) - reached
        if fresh:
            reached |= fresh
            chosen.append(data)
    for path in kept.iterdir():
        path.unlink()
    for data in chosen:
        (kept / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"{target}: {len(chosen)} inputs of {len(inputs)}")
    return 0


def steps_in_c(coverage: in_c.Coverage, check: Callable[[bytes], None], data: bytes) -> set[object]:
    """The edges that the shortcuts take for an input."""
    coverage.take()
    check(data)
    return {place for place, times in enumerate(coverage.take()) if times}


def steps_of(check: Callable[[bytes], None], data: bytes) -> set[object]:
    """The steps from line to line, within functions, that the parsers take for an input, and roughly how often."""
    counts: Counter[tuple[str, int, int]] = Counter()

    def trace(frame: FrameType, event: str, _: object) -> Trace | None:
        name = frame.f_code.co_filename
        if not name.startswith(str(SOURCES)):
            return None
        last = frame.f_lineno

        def step(frame: FrameType, event: str, _: object) -> Trace:
            nonlocal last
            if event == "line":
                counts[name, last, frame.f_lineno] += 1
                last = frame.f_lineno
            return step

        return step

    sys.settrace(trace)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return {(name, start, end, times.bit_length() // 4) for (name, start, end), times in counts.items()}


def _child(target: str, *options: str, capture: bool = True) -> "subprocess.CompletedProcess[str]":
    command = ["nice", "-n", "19", sys.executable, __file__, "--one", target, *options]
    sources, more = (SOURCES_IN_C, in_c.environment()) if target == IN_C else (SOURCES, {})
    environment = {**os.environ, "PYTHONPATH": f"{sources}:{ROOT}", **more}
    return subprocess.run(command, capture_output=capture, text=True, errors="replace", env=environment)


def fuzz(target: str, options: list[str]) -> int:
    """Does not return: libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")
    if target == IN_C:
        in_c.Coverage(SOURCES_IN_C)
        check = importlib.import_module(f"tests.fuzz.{target}_target").check
    else:
        with atheris.instrument_imports(include=list(PARSERS), enable_loader_override=False):
            check = importlib.import_module(f"tests.fuzz.{target}_target").check
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()
    return 1


if __name__ == "__main__":
    sys.exit(main())
