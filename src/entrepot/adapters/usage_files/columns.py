"""Comma-separated lines as rows of cells, and headers as the names that cells are read by."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from entrepot.adapters.usage_files.lines import LineBatch, read_lines
from entrepot.core.errors import BadInput
from entrepot.ports.usage_rows import RowFault


class CellBatch(NamedTuple):
    """Rows of cells as wide as the header, their line numbers, and the lines that are none."""

    header: list[str]
    lines: list[int]
    rows: list[list[str]]
    faults: list[RowFault]


def read_cells(path: Path) -> Iterator[CellBatch]:
    """The rows below the header, a few thousand at a time. Raises: BadInput, also when there is no header."""
    header: list[str] | None = None
    for batch in read_lines(path):
        if header is not None:
            yield _cells(header, batch)
            continue
        at = next((index for index, line in enumerate(batch.lines) if line.strip()), None)
        if at is not None:
            header = _header(path, batch.first + at, batch.lines[at])
            yield _cells(header, LineBatch(batch.first + at + 1, batch.lines[at + 1 :], batch.faults))
    if header is None:
        raise BadInput(f"{path} is empty; a CSV file begins with a line of column names")


def _header(path: Path, line: int, raw: bytes) -> list[str]:
    try:
        names = [name.strip() for name in _split(raw.decode())]
    except (csv.Error, UnicodeError):
        raise BadInput(f"{path}: line {line} should be the header and is not CSV text") from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"{path}: the header names {', '.join(twice)} more than once")
    return names


def _cells(header: list[str], batch: LineBatch) -> CellBatch:
    cells = CellBatch(header, [], [], batch.faults)
    width = len(header)
    for line, raw in enumerate(batch.lines, start=batch.first):
        try:
            row = _split(raw.decode())
        except UnicodeError:
            cells.faults.append(_fault(line, "is not UTF-8 text", raw))
            continue
        except csv.Error as error:
            cells.faults.append(_fault(line, f"is not CSV: {error}", raw))
            continue
        if len(row) == width:
            cells.lines.append(line)
            cells.rows.append(row)
        elif raw.strip():
            cells.faults.append(_fault(line, f"has {len(row)} cells where the header has {width}", raw))
    return cells


def _split(text: str) -> list[str]:
    # Without a quotation mark a comma is a comma. With one, the line is read for itself: what it opens it must close.
    return next(csv.reader([text], strict=True)) if '"' in text else text.split(",")


def _fault(line: int, reason: str, raw: bytes) -> RowFault:
    return RowFault(line=line, reason=reason, row=raw[:2000].decode(errors="replace"))
