"""The shortcuts in C for the fuzzer: it sees where they go, and any step beyond what they were given ends the process.

They are built with gcc's own instrumentation (coverage at each edge and comparison, AddressSanitizer, undefined
behaviour as a trap) beside a copy of the sources. The sanitizer's other half, and libFuzzer, come with atheris and are
loaded before everything else.
"""

import ctypes
import importlib.util
import os
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
COUNTERS = 1 << 15
_WATCHED = (
    "-fsanitize=address,undefined", "-fsanitize-undefined-trap-on-error", "-fsanitize-coverage=trace-pc,trace-cmp",
)  # fmt: skip
_USUAL = ("-fPIC", "-g", "-O1", "-fno-omit-frame-pointer")
_EDGE = "__sanitizer_cov_trace_pc=coverage_edge"  # libFuzzer has a function of gcc's name, which refuses.


def build(sources: Path) -> None:
    """Builds every C file of a copy of the package, beside itself. Raises: OSError, CalledProcessError."""
    compiler = os.environ.get("CC", "gcc")
    include = f"-I{sysconfig.get_path('include')}"
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for source in sorted(sources.rglob("*.c")):
        made = source.with_name(f"{source.stem}{suffix}")
        # What the sanitizer calls is looked for when it runs, in what is loaded before everything else.
        compiled = made.with_suffix(".o")
        _run(compiler, *_USUAL, *_WATCHED, include, "-c", source, "-o", compiled)
        _run("objcopy", "--redefine-sym", _EDGE, compiled)
        _run(compiler, "-shared", compiled, "-o", made)
    _run(compiler, *_USUAL, "-shared", HERE / "coverage.c", "-o", sources / "coverage.so")


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True)


def environment() -> Mapping[str, str]:
    """What a process needs that loads them. Memory comes from the system, for the sanitizer to know its bounds."""
    atheris = importlib.util.find_spec("atheris")
    if atheris is None or atheris.origin is None:
        raise RuntimeError("atheris is not installed; `make fuzz` does that")
    [preloaded] = Path(atheris.origin).parents[1].rglob("asan_with_fuzzer.so")
    return {
        "LD_PRELOAD": str(preloaded),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_sigill=1",
        "PYTHONMALLOC": "malloc",
    }


class Coverage:
    """The counters of what was built into a copy of the sources; to be made before that is imported."""

    def __init__(self, sources: Path) -> None:
        self._library = ctypes.CDLL(str(sources / "coverage.so"), mode=ctypes.RTLD_GLOBAL)
        self._library.coverage_begin()

    def take(self) -> bytes:
        """What was counted since the last time."""
        into = ctypes.create_string_buffer(COUNTERS)
        self._library.coverage_take(into)
        return into.raw
