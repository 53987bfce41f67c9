"""The mock upstream and the load client, compiled from native/ when they are missing or older than their source."""

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
NATIVE = HERE / "native"
BUILD = HERE.parents[1] / "build" / "benchmarks"  # git ignores it
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wshadow", "-Werror")


class ToolMissing(RuntimeError):
    """Something this benchmark needs is not on this machine; the message says what to do."""


def compiled(name: str, build: Path = BUILD) -> Path:
    """The program compiled from native/{name}.c. Raises: ToolMissing without a C compiler; CalledProcessError."""
    sources = [NATIVE / f"{name}.c", *NATIVE.glob("*.h")]
    program = build / name
    if program.exists() and program.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return program
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ToolMissing("a C compiler is needed (cc or gcc). On Debian and Ubuntu: apt-get install gcc")
    build.mkdir(parents=True, exist_ok=True)
    part = build / f"{name}.{os.getpid()}.part"
    subprocess.run([compiler, *FLAGS, "-o", str(part), str(sources[0])], check=True)
    part.replace(program)
    return program
