"""Compiles the modules of modules.txt, each beside its source, which stays what is read and tested.

    python compiled/build.py          exits 0 also where it cannot be done, and says why: the sources run, too
    python compiled/build.py --strict exits 1 then
    python compiled/build.py --clean  takes everything compiled away

A compiled module wins over its source when it is imported, so what is older than its source is taken away first.
See docs/decisions/0009.
"""

import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
_AS_MEANT = "warning: Treating generator comprehension as list"
# What is compiled calls itself without the detour by which other libraries could stand in.
_HIDDEN = "-fvisibility=hidden"
GROUP = "entrepot"  # Begins the name of the library that holds the code; what lies beside the sources points there.


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    remove()
    if "--clean" in arguments:
        return 0
    try:
        build()
    except (Exception, SystemExit) as error:  # noqa: BLE001 whatever a compiler can say, the sources still run
        remove()
        said = "see above" if isinstance(error, SystemExit) else error
        print(f"The request path is not compiled and runs slower, from its sources: {said}", file=sys.stderr)
        return 1 if "--strict" in arguments else 0
    return 0


def modules() -> list[Path]:
    """The sources to compile: Python, and C that stands in for the Python file of the same name."""
    return [ROOT / line for line in (ROOT / "compiled" / "modules.txt").read_text().split()]


def stale() -> list[str]:
    """The sources that have changed since they were compiled, and those that are compiled no more, by name."""
    made = {path.parent / path.name.partition(".")[0]: path.stat().st_mtime for path in (SOURCE / GROUP).rglob("*.so")}
    sources = {path.with_suffix(""): path.stat().st_mtime for path in modules()}
    return sorted(path.name for path, at in made.items() if sources.get(path, at + 1) > at)


def remove() -> None:
    """Takes everything compiled away."""
    for path in SOURCE.rglob("*.so"):
        path.unlink()


def build() -> None:
    """Compiles. Raises: ImportError without mypyc; SystemExit for a module it refuses; errors of the C compiler."""
    from mypyc.build import mypycify
    from setuptools import Extension, setup

    sources = [path.relative_to(ROOT) for path in modules()]
    python = [str(path) for path in sources if path.suffix == ".py"]
    in_c = [
        Extension(".".join(path.with_suffix("").parts[1:]), [str(path)], extra_compile_args=["-O2"])
        for path in sources
        if path.suffix == ".c"
    ]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            compiled = mypycify(python, group_name=GROUP, opt_level="2", debug_level="0", target_dir="build/compiled")
        for extension in compiled:
            extension.extra_compile_args.append(_HIDDEN)
    finally:
        for line in said.getvalue().splitlines():
            if not line.endswith(_AS_MEANT):
                print(line, file=sys.stderr)
    setup(
        name=GROUP,
        package_dir={"": "src"},
        ext_modules=[*compiled, *in_c],
        script_args=["--quiet", "build_ext", "--inplace", "--build-temp", "build/compiled"],
    )
    for path in SOURCE.rglob("*.so"):
        path.touch()  # What had not changed was only copied.


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
