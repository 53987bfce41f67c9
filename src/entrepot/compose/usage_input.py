"""Usage from files, and into them, as commands get it."""

import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from entrepot.adapters.usage_files.export import open_export, usage_record
from entrepot.adapters.usage_files.records import open_records
from entrepot.adapters.usage_files.rejected import RejectedRows
from entrepot.adapters.usage_files.traces import TraceFile
from entrepot.core.usage_event import UsageEvent
from entrepot.metering.usage_file import COLUMNS, REQUIRED
from entrepot.ports.usage_rows import RowFault, TraceRows, UsageRows

__all__ = [
    "open_rejections",
    "open_trace",
    "open_usage_export",
    "open_usage_file",
    "peak_memory_mib",
    "usage_record",
]


class Rejections(Protocol):
    """Where rejected rows go."""

    path: Path
    count: int

    def add(self, fault: RowFault) -> None:
        """Keeps a row."""
        ...


class Export(Protocol):
    """Where exported events go."""

    def add(self, events: list[UsageEvent]) -> None:
        """Writes events, in order."""
        ...


def open_usage_file(path: Path) -> UsageRows:
    """The usage records of a file, whichever of the three formats it has. Raises: BadInput."""
    return open_records(path, COLUMNS, REQUIRED)


def open_trace(path: Path, kind: str, names: Mapping[str, str]) -> TraceRows:
    """A published trace; names: {what: column} where the file's columns are called otherwise. Raises: BadInput."""
    return TraceFile(path, kind, names)


@contextmanager
def open_rejections(path: Path) -> Iterator[Rejections]:
    """A file for rejected rows, made when the first one comes."""
    rejected = RejectedRows(path)
    try:
        yield rejected
    finally:
        rejected.close()


@contextmanager
def open_usage_export(path: Path | None, form: str) -> Iterator[Export]:
    """A file to export to, or standard output. Raises: BadInput."""
    with open_export(path, form) as export:
        yield export


def peak_memory_mib() -> int:
    """The most memory this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)  # bytes there, KiB everywhere else
