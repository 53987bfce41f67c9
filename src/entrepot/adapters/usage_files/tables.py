"""Rows of named columns as CSV and as Parquet, a piece at a time."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from entrepot.adapters.usage_files.output import open_output
from entrepot.adapters.usage_files.row_groups import RowGroups
from entrepot.core.periods import Instant, format_instant
from entrepot.ports.tables import Cell, Column, TableWriter

_ROW_GROUP = 50_000
_DECIMAL_DIGITS = 38  # The most that 128 bits hold.


@contextmanager
def open_table(path: Path | None, columns: Sequence[Column]) -> Iterator[TableWriter]:
    """Where rows go: Parquet where the name of the file says so, else CSV. path: None for standard output.

    Raises: BadInput.
    """
    with open_output(path) as file:
        kind = _Parquet if path is not None and path.suffix == ".parquet" else _Csv
        writer = kind(file, columns)
        try:
            yield writer
        finally:
            writer.end()


class _Csv:
    """Nothing is an empty cell. Times are RFC 3339 in UTC."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file = file
        self._times = [at for at, column in enumerate(columns) if column.kind == "time"]
        self._write([[column.name for column in columns]])

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        self._write([self._told(row) for row in rows])

    def end(self) -> None:
        """Nothing is left to write."""

    def _told(self, row: Sequence[Cell]) -> Sequence[Cell]:
        told = list(row)
        for at in self._times:
            told[at] = _time(told[at])
        return told

    def _write(self, rows: Sequence[Sequence[Cell]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())


class _Parquet:
    """Decimals are decimals of 128 bits, times are timestamps in UTC."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        import pyarrow as pa

        self._columns = columns
        schema = pa.schema([(column.name, _arrow_type(column)) for column in columns])
        self._groups = RowGroups(file, schema, _ROW_GROUP)

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        cells = zip(*rows, strict=True) if rows else ([] for _ in self._columns)
        self._groups.add(
            [
                [_arrow_cell(column, cell) for cell in of_column]
                for column, of_column in zip(self._columns, cells, strict=True)
            ]
        )

    def end(self) -> None:
        """Writes what is held, and the file's end."""
        self._groups.end()


def _arrow_type(column: Column) -> Any:
    import pyarrow as pa

    if column.kind == "decimal":
        return pa.decimal128(_DECIMAL_DIGITS, column.scale)
    return pa.timestamp("us", tz="UTC") if column.kind == "time" else pa.string()


def _arrow_cell(column: Column, cell: Cell) -> object:
    return Decimal(cell) if column.kind == "decimal" and isinstance(cell, str) else cell


def _time(at: Cell) -> str | None:
    instant: Instant | None = at if isinstance(at, int) else None
    return None if instant is None else format_instant(instant)
