"""The usage log's benchmark runs, counts what it measures, and compares two checkouts."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.tree import ROOT


def run(*arguments: str) -> str:
    command = [sys.executable, "benchmarks/usage_log.py", "--seconds", "0.1", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=280).stdout


def test_every_load_is_measured(tmp_path: Path) -> None:
    figures = json.loads(run("--json", "--home", str(tmp_path)))
    loads = {row["load"]: row for row in figures["loads"]}
    assert list(loads) == ["500/s", "1 waiters", "16 waiters", "64 waiters", "256 waiters"]
    for row in loads.values():
        assert row["requests_per_s"] > 0
        assert 0 < row["wait_us_p50"] <= row["wait_us_p99"]
        assert row["log_cpu_us"] > 0
    assert figures["raw_flushes_per_s"] > 0
    assert figures["read"]["records"] >= 2 * 5
    assert list(tmp_path.iterdir()) == []


def test_two_checkouts_take_turns() -> None:
    lines = run("--against", str(ROOT), "--rounds", "1").splitlines()
    assert [line.split()[0] for line in lines] == ["checkout", *["this", "other"] * 5]
