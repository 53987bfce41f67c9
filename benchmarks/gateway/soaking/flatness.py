"""What is to stay flat while a soak goes on: memory, open files, latency."""

import contextlib
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.gateway.processes import resident_kb

MEMORY_GROWTH_MAX = 0.03  # of a process between the middle and the last third of a run
MEMORY_GROWTH_FLOOR_KB = 3072
FILES_GROWTH_MAX = 16
LATENCY_GROWTH_MAX = 2.0
SLICES_MIN = 30
SOCKETS_TELL_S = 300  # A shorter run sees some kinds of clients once; how many sockets it holds says nothing yet.


class Sample(msgspec.Struct, frozen=True):
    """One look at a process, so many seconds into the run. other_files: open ones that are no sockets."""

    at_s: float
    rss_kb: int
    sockets: int
    other_files: int


def look(pid: int, at_s: float) -> Sample:
    """What the process holds now."""
    held = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # Closed since.
            held.append(str(entry.readlink()))
    sockets = sum(name.startswith("socket:") for name in held)
    return Sample(at_s, resident_kb(pid), sockets, len(held) - sockets)


def slope_kb_per_min(samples: Sequence[Sample]) -> float:
    """How fast resident memory grew in the last two thirds, by least squares."""
    late = samples[len(samples) // 3 :]
    if len(late) < 2:
        return 0.0
    fit = statistics.linear_regression([sample.at_s for sample in late], [sample.rss_kb for sample in late])
    return fit.slope * 60


def thirds(values: Sequence[float]) -> tuple[float, float, float]:
    """The median of each third."""
    cut = max(1, len(values) // 3)
    return (
        statistics.median(values[:cut]),
        statistics.median(values[cut : 2 * cut] or values),
        statistics.median(values[-cut:]),
    )


def memory_faults(name: str, samples: Sequence[Sample]) -> list[str]:
    """Growth between the middle and the last third, when it is more than a process may breathe."""
    _, middle, last = thirds([sample.rss_kb for sample in samples])
    if last - middle <= max(MEMORY_GROWTH_FLOOR_KB, MEMORY_GROWTH_MAX * middle):
        return []
    return [f"the memory of {name} grew from {middle:.0f} to {last:.0f} kB"]


def file_faults(name: str, samples: Sequence[Sample]) -> list[str]:
    """More open files late than early; more sockets, too, in a run long enough to have seen all of the load's turns."""
    found = []
    is_long = samples[-1].at_s - samples[0].at_s >= SOCKETS_TELL_S
    for what in ("sockets", "other_files") if is_long else ("other_files",):
        _, middle, last = thirds([getattr(sample, what) for sample in samples])
        if last - middle > FILES_GROWTH_MAX + 0.2 * middle:
            found.append(f"{name} held {middle:.0f} {what.replace('_', ' ')} and later {last:.0f}")
    return found


def latency_faults(p50_us: Sequence[float]) -> list[str]:
    """A median that doubled over the run; a short run says nothing, on a machine that others use, too."""
    if len(p50_us) < SLICES_MIN:
        return []
    first, _, last = thirds(p50_us)
    return [f"the median latency went from {first:.0f} to {last:.0f} µs"] if last > LATENCY_GROWTH_MAX * first else []
