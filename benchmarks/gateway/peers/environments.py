"""Where peers are installed, and how: one environment each, outside the checkout, from requirements/peers/.

`make bench-peers` runs this as a program and takes as long as downloading some 2 GB takes. A peer that cannot be
installed is said so and left out; the rest go on. BENCH_PEERS names another folder than ~/.cache/entrepot-bench-peers.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gateway.native_tools import HERE, ToolMissing

REQUIREMENTS = HERE.parents[1] / "requirements" / "peers"
_INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps")


def store() -> Path:
    """The folder that all environments are in."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("BENCH_PEERS") or f"{cache}/entrepot-bench-peers").expanduser()


def lock_of(name: str) -> Path:
    """What the peer's environment is made from."""
    return REQUIREMENTS / name / "package-lock.json" if (REQUIREMENTS / name).is_dir() else REQUIREMENTS / f"{name}.txt"


def environment_of(name: str) -> Path:
    """The folder of the peer's environment, whether it is there or not; another one when its lock changes."""
    return store() / f"{name}-{hashlib.sha256(lock_of(name).read_bytes()).hexdigest()[:12]}"


def installed(name: str) -> Path:
    """The peer's environment. Raises: ToolMissing."""
    where = environment_of(name)
    if not (where / "complete").exists():
        raise ToolMissing(f"{name} is left out: it is not installed. `make bench-peers` installs it.")
    return where


def program(name: str, command: str) -> str:
    """The path of a command that the peer's package brings. Raises: ToolMissing."""
    return str(installed(name) / "bin" / command)


def available() -> list[str]:
    """Every peer that has a lock."""
    return sorted(
        [path.stem for path in REQUIREMENTS.glob("*.txt")] + [p.name for p in REQUIREMENTS.iterdir() if p.is_dir()]
    )


def install(name: str) -> None:
    """Makes the peer's environment. Raises: ToolMissing, CalledProcessError, OSError."""
    where = environment_of(name)
    if (where / "complete").exists():
        return
    shutil.rmtree(where, ignore_errors=True)
    where.parent.mkdir(parents=True, exist_ok=True)
    if lock_of(name).suffix == ".json":
        npm = shutil.which("npm")
        if npm is None:
            raise ToolMissing("npm is needed. On Debian and Ubuntu: apt-get install npm")
        where.mkdir()
        for part in ("package.json", "package-lock.json"):
            shutil.copy(lock_of(name).parent / part, where)
        flags = ("--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error")
        subprocess.run([npm, "ci", *flags], cwd=where, check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
        subprocess.run(
            [str(where / "bin" / "python"), *_INSTALL, "--require-hashes", "-r", str(lock_of(name))], check=True
        )
    (where / "complete").touch()


def main(arguments: Sequence[str]) -> int:
    """0 when all that was asked for is there, else 1."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(available())}; all when none is given")
    names = parser.parse_args(arguments).names or available()
    failed = []
    for name in names:
        print(f"{name} -> {environment_of(name)}", file=sys.stderr, flush=True)
        try:
            install(name)
        except (ToolMissing, subprocess.CalledProcessError, OSError) as error:
            failed.append(name)
            print(f"{name} could not be installed: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
