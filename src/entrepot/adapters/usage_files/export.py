"""Usage events as files of usage records: what `usage import` reads, in each of its formats."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from entrepot.adapters.usage_files.output import open_output
from entrepot.adapters.usage_files.row_groups import RowGroups
from entrepot.core.periods import format_instant
from entrepot.core.tokens import METERS
from entrepot.core.usage_event import UsageEvent

# A CSV has a column for every meter there is, so that one month's file looks like the next one's.
_METERS = sorted(METERS)
_ROW_GROUP = 100_000
_FIELDS = (
    "id",
    "admitted_at",
    "finished_at",
    "customer",
    "project",
    "deployment",
    "model",
    "tier",
    "source",
    "corrects",
)


class Writer(Protocol):
    """One format."""

    def add(self, events: list[UsageEvent]) -> None:
        """Writes events, in order."""
        ...

    def end(self) -> None:
        """Writes what the format ends with."""
        ...


@contextmanager
def open_export(path: Path | None, form: str) -> Iterator[Writer]:
    """A writer of jsonl, csv or parquet. path: None for standard output. A file appears when it is complete.

    Raises: BadInput.
    """
    with open_output(path) as file:
        writer = _WRITERS[form](file)
        yield writer
        writer.end()


class _JsonLines:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encode = msgspec.json.Encoder().encode

    def add(self, events: list[UsageEvent]) -> None:
        self._file.write(b"".join(self._encode(usage_record(event)) + b"\n" for event in events))

    def end(self) -> None:
        self._file.flush()


class _Csv:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._add_rows([[*_FIELDS, *_METERS]])

    def add(self, events: list[UsageEvent]) -> None:
        self._add_rows([[*_cells(event), *(event.meters.get(meter) for meter in _METERS)] for event in events])

    def end(self) -> None:
        self._file.flush()

    def _add_rows(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())


class _Parquet:
    """Meters are a map; times are timestamps in UTC."""

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow as pa

        moment = pa.timestamp("us", tz="UTC")
        kinds = {"admitted_at": moment, "finished_at": moment, "meters": pa.map_(pa.string(), pa.int64())}
        schema = pa.schema([(name, kinds.get(name, pa.string())) for name in (*_FIELDS, "meters")])
        self._groups = RowGroups(file, schema, _ROW_GROUP)

    def add(self, events: list[UsageEvent]) -> None:
        columns: list[list[object]] = [[getattr(event, name) for event in events] for name in _FIELDS]
        columns.append([list(event.meters.items()) for event in events])
        self._groups.add(columns)

    def end(self) -> None:
        self._groups.end()


_WRITERS: dict[str, Callable[[BinaryIO], Writer]] = {"jsonl": _JsonLines, "csv": _Csv, "parquet": _Parquet}


def usage_record(event: UsageEvent) -> dict[str, object]:
    """The event as a usage record, its times as text."""
    return {**dict(zip(_FIELDS, _cells(event), strict=True)), "meters": event.meters}


def _cells(event: UsageEvent) -> list[object]:
    written: list[object] = [getattr(event, name) for name in _FIELDS]
    written[1:3] = [format_instant(event.admitted_at), format_instant(event.finished_at)]
    return written
