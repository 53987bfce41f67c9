"""Files of usage records: JSON Lines, CSV and Parquet, told apart by what is in them."""

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

from entrepot.adapters.usage_files.columns import CellBatch, read_cells
from entrepot.adapters.usage_files.lines import open_bytes, read_lines
from entrepot.adapters.usage_files.parquet import ParquetRecords, check_header
from entrepot.core.errors import BadInput
from entrepot.core.tokens import METERS
from entrepot.ports.usage_rows import RawRow, RowBatch, RowFault, UsageRows

_PARQUET_MAGIC = b"PAR1"
_SNIFFED_BYTES = 4096
_JSON_LINES = {".jsonl", ".ndjson", ".json"}


def open_records(path: Path, columns: Sequence[str], required: Sequence[str]) -> UsageRows:
    """A reader for the file. columns: a record's columns beside its meters; required: those that no file may lack.

    Raises: BadInput for a file that is empty, unreadable or in none of the three formats.
    """
    with open_bytes(path) as file:
        try:
            start = file.read(_SNIFFED_BYTES)
        except (EOFError, OSError) as error:
            raise BadInput(f"{path} breaks off or is damaged ({error}); fetch it again") from None
    if not start.strip():
        raise BadInput(f"{path} is empty; there is nothing to import")
    if start.startswith(_PARQUET_MAGIC):
        return ParquetRecords(path, columns, required)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        raise BadInput(f"{path} is one JSON list; write one object a line instead (JSON Lines)")
    named = Path(path.name.removesuffix(".gz")).suffix.lower()
    if named in _JSON_LINES or (named != ".csv" and text.startswith(b"{")):
        return JsonLines(path)
    return CsvRecords(path, columns, required)


class JsonLines:
    """One JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def batches(self) -> Iterator[RowBatch]:
        """As UsageRows.batches. Lines without anything on them are no rows."""
        for batch in read_lines(self._path):
            numbers = range(batch.first, batch.first + len(batch.lines))
            if any(not line or line.isspace() for line in batch.lines):
                kept = [(number, line) for number, line in zip(numbers, batch.lines, strict=True) if line.strip()]
                yield RowBatch([number for number, _ in kept], [line for _, line in kept], batch.faults)
            else:
                yield RowBatch(numbers, batch.lines, batch.faults)


class CsvRecords:
    """The columns of a usage record with one for each meter, or with one column `meters` holding a JSON object."""

    def __init__(self, path: Path, columns: Sequence[str], required: Sequence[str]) -> None:
        self._path = path
        self._columns = columns
        self._required = required

    def batches(self) -> Iterator[RowBatch]:
        """As UsageRows.batches. An empty cell is a column left out."""
        layout: _Layout | None = None
        for cells in read_cells(self._path):
            layout = layout or _Layout(self._path, cells.header, self._columns, self._required)
            yield layout.records(cells)


class _Layout:
    """Which cell of a row is what."""

    def __init__(self, path: Path, header: Sequence[str], columns: Sequence[str], required: Sequence[str]) -> None:
        check_header(path, header, columns, required)
        self._fields = _Picked(header, columns)
        self._meters = _Picked(header, METERS)
        self._json = header.index("meters") if "meters" in header else None

    def records(self, cells: CellBatch) -> RowBatch:
        """The rows by name."""
        if self._json is not None:
            return self._with_json(cells, self._json)
        rows: list[RawRow] = []
        for row in cells.rows:
            record = self._fields.named(row)
            record["meters"] = self._meters.named(row)
            rows.append(record)
        return RowBatch(cells.lines, rows, cells.faults)

    def _with_json(self, cells: CellBatch, index: int) -> RowBatch:
        lines: list[int] = []
        rows: list[RawRow] = []
        for line, row in zip(cells.lines, cells.rows, strict=True):
            try:
                written = json.loads(row[index] or "{}")
            except ValueError:
                cells.faults.append(RowFault(line=line, reason="meters is not a JSON object", row=",".join(row)))
                continue
            record = self._fields.named(row)
            own = self._meters.named(row)
            record["meters"] = {**own, **written} if isinstance(written, Mapping) else written
            lines.append(line)
            rows.append(record)
        return RowBatch(lines, rows, cells.faults)


class _Picked:
    """Those cells of a row that have one of some names."""

    def __init__(self, header: Sequence[str], wanted: Container[str]) -> None:
        self._names = [name for name in header if name in wanted]
        self._cells = _cells_at([index for index, name in enumerate(header) if name in wanted])

    def named(self, row: list[str]) -> dict[str, object]:
        """The cells by name, without the empty ones."""
        cells = self._cells(row)
        if all(cells):
            return dict(zip(self._names, cells, strict=True))
        return {name: cell for name, cell in zip(self._names, cells, strict=True) if cell}


def _cells_at(indexes: Sequence[int]) -> Callable[[list[str]], Sequence[str]]:
    if len(indexes) > 1:
        return itemgetter(*indexes)
    return lambda row: [row[index] for index in indexes]
