"""Rows of named columns, as they are written to files."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

# text: a string. decimal: decimal text, never a float. time: an Instant. None is nothing, in each of them.
ColumnKind = Literal["text", "decimal", "time"]


class Column(NamedTuple):
    """A column. scale: the most digits that a decimal of it has behind the point."""

    name: str
    kind: ColumnKind = "text"
    scale: int = 12


Cell = str | int | None


class TableWriter(Protocol):
    """Where rows go."""

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Writes rows, in order; each has a cell for every column."""
        ...
