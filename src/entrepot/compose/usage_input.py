"""Usage from files, and into them, as commands get it."""

import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path

from entrepot.adapters.usage_files.export import open_export, usage_record
from entrepot.adapters.usage_files.records import open_records
from entrepot.adapters.usage_files.rejected import RejectedRows
from entrepot.adapters.usage_files.traces import TraceFile
from entrepot.core.usage_event import UsageEvent
from entrepot.metering.usage_file import COLUMNS, REQUIRED, parse_rows
from entrepot.ports.usage_rows import RowFault, TraceRows, UsageRows

__all__ = [
    "open_export",
    "open_rejections",
    "open_trace",
    "open_usage_file",
    "peak_memory_mib",
    "usage_events",
    "usage_record",
]


def open_usage_file(path: Path) -> UsageRows:
    """The usage records of a file, whichever of the three formats it has. Raises: BadInput."""
    return open_records(path, COLUMNS, REQUIRED)


def usage_events(
    paths: Iterable[Path], faulty: Callable[[Path, list[RowFault]], object], progress: Callable[[int], object]
) -> Iterator[UsageEvent]:
    """The events of usage files, one file after the other.

    faulty: told of rows that cannot be used, by line; progress: how many events were read. Raises: BadInput.
    """
    count = 0
    for path in paths:
        for batch in open_usage_file(path).batches():
            parsed = parse_rows(batch)
            if parsed.faults:
                faulty(path, sorted(parsed.faults, key=lambda fault: fault.line))
            count += len(parsed.events)
            progress(count)
            yield from parsed.events


def open_trace(path: Path, kind: str, names: Mapping[str, str]) -> TraceRows:
    """A published trace; names: {what: column} where the file's columns are called otherwise. Raises: BadInput."""
    return TraceFile(path, kind, names)


def open_rejections(path: Path) -> AbstractContextManager[RejectedRows]:
    """A file for rejected rows, made when the first one comes."""
    return closing(RejectedRows(path))


def peak_memory_mib() -> int:
    """The most memory this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)  # bytes there, KiB everywhere else
