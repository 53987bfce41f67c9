"""Runs the story: a month of usage is made up, imported, closed, invoiced, reported on and verified.

    python examples/story/run.py                       ten million records
    python examples/story/run.py --records 20000       the same tokens and the same money in a few seconds

Every step is a command that stands in README.md too. What each took is printed at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PERIOD = "2024-03"


@dataclass(frozen=True)
class Stage:
    """What a step took. memory_mib: the most its process held."""

    name: str
    seconds: float
    cpu_seconds: float
    memory_mib: int
    records: int

    def line(self) -> str:
        """The stage in columns."""
        rate = f"{self.records / self.seconds:>12,.0f}" if self.records else " " * 12
        return f"  {self.name:<12} {self.seconds:>9.1f} {self.cpu_seconds:>9.1f} {rate} {self.memory_mib:>9,}"


def main() -> int:
    """The exit status of the first step that failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path("var/story"), help="data directory; a fresh one")
    parser.add_argument("--keep-usage", action="store_true", help="do not remove the usage file at the end")
    args = parser.parse_args()
    if (args.home / "log").exists():
        parser.error(f"{args.home} holds a log already; remove it or choose another --home")
    args.home.mkdir(parents=True, exist_ok=True)
    usage = args.home / "usage.jsonl"
    entrepot = [str(Path(sys.executable).with_name("entrepot"))]
    home = ["--home", str(args.home)]
    generate = [sys.executable, str(HERE / "generate.py"), str(usage)]
    report = [*entrepot, "report", "concentration", "--period", PERIOD, *home]
    steps = [
        ("generate", [*generate, "--records", str(args.records), "--seed", str(args.seed)], args.records),
        ("apply", [*entrepot, "apply", *(str(HERE / name) for name in ("world.yaml", "tail.yaml")), *home], 0),
        ("import", [*entrepot, "usage", "import", str(usage), *home], args.records),
        ("close", [*entrepot, "close", PERIOD, *home], 0),
        ("report", report, 0),
        ("verify", [*entrepot, "verify", *home], args.records),
    ]
    stages, status = [], 0
    for name, command, records in steps:
        stage, status, printed = run(name, command, records)
        if name in {"import", "report", "verify"} or status:
            sys.stdout.write(f"\n{printed.strip()}\n")
        stages.append(stage)
        if status:
            break
    sys.stdout.write("\n  stage          seconds       CPU    records/s       MiB\n")
    sys.stdout.write("\n".join(stage.line() for stage in stages) + "\n\n")
    sizes = {name: _size_mib(args.home / name) for name in ("usage.jsonl", "log", "books.db")}
    sys.stdout.write("  on disk, MiB: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()) + "\n")
    document = {"records": args.records, "stages": [vars(stage) for stage in stages], "disk_mib": sizes}
    (args.home / "stages.json").write_text(json.dumps(document, indent=2) + "\n")
    if not args.keep_usage:
        usage.unlink()
    return status


def run(name: str, command: list[str], records: int) -> tuple[Stage, int, str]:
    """What the step took, its exit status, and what it printed."""
    sys.stderr.write(f"{name} …\n")
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        printed = child.stdout.read()
        _, waited, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(waited)
    seconds = time.perf_counter() - began
    memory = used.ru_maxrss // (1024 * 1024 if sys.platform == "darwin" else 1024)
    stage = Stage(name, round(seconds, 2), round(used.ru_utime + used.ru_stime, 2), memory, records)
    return stage, child.returncode, printed


def _size_mib(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path, *path.parent.glob(path.name + "-*")]
    return sum(file.stat().st_size for file in files if file.is_file()) >> 20


if __name__ == "__main__":
    sys.exit(main())
