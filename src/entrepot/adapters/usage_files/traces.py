"""Published traces: who asked for how much and when, without what was said.

A *shape* says which columns of a file mean what. Azure's, BurstGPT's, Mooncake's and ServeGen's are known by name; any
other file is read by giving a known shape other column names. examples/data/SOURCES.md says where they come from.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from entrepot.adapters.usage_files.columns import read_cells
from entrepot.adapters.usage_files.parquet import BATCH_ROWS
from entrepot.core.errors import BadInput
from entrepot.core.periods import SECOND, instant_of
from entrepot.ports.usage_rows import RowFault, TraceBatch, TraceRow

NS = 1_000_000_000
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_WHOLE = re.compile(r"(\d{1,15})(?:\.0*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shape:
    """Which column of a trace means what; "" for what it does not have.

    unit_ns: nanoseconds per unit of the time column, or 0 where it holds dates and times. rate: requests a second over
    window_s, instead of a count. client: columns joined with "+", where only together they name one.
    """

    name: str
    at: str
    unit_ns: int
    input: str = ""
    output: str = ""
    cached: str = ""
    client: str = ""
    requests: str = ""
    rate: str = ""
    window_s: int = 0

    def columns(self) -> list[str]:
        """The columns it has."""
        named = (getattr(self, what).split("+") for what in MAPPABLE if getattr(self, what))
        return [column for columns in named for column in columns]


MAPPABLE = ("at", "input", "output", "cached", "client", "requests", "rate")
SHAPES = {
    "azure": [Shape("azure", at="TIMESTAMP", unit_ns=0, input="ContextTokens", output="GeneratedTokens")],
    "burstgpt": [
        Shape("burstgpt", at="Timestamp", unit_ns=NS, input="Request tokens", output="Response tokens"),
        Shape("burstgpt", at="hour_start_s", unit_ns=NS, requests="requests"),
    ],
    "mooncake": [
        Shape(
            "mooncake",
            at="timestamp_ms",
            unit_ns=NS // 1000,
            input="input_tokens",
            output="output_tokens",
            cached="cached_input_tokens",
        )
    ],
    "servegen": [Shape("servegen", at="t_s", unit_ns=NS, client="model+client", rate="rate_rps", window_s=600)],
}


class TraceFile:
    """A reader for one trace file."""

    def __init__(self, path: Path, kind: str, names: Mapping[str, str]) -> None:
        """kind: of SHAPES. names: {what of MAPPABLE: column} where the file says otherwise. Raises: BadInput."""
        if kind not in SHAPES:
            raise BadInput(f"there is no trace format {kind!r}; there are {', '.join(SHAPES)}")
        unknown = sorted(set(names) - set(MAPPABLE))
        if unknown:
            raise BadInput(f"a trace has no {', '.join(unknown)}; it has {', '.join(MAPPABLE)}")
        self._path = path
        self._shapes = [_renamed(shape, names) for shape in SHAPES[kind]]

    def batches(self) -> Iterator[TraceBatch]:
        """As TraceRows.batches; the header is line 1, or the first row 1 where there is none (Parquet)."""
        for header, lines, rows, unusable in _table(self._path):
            read = _reader(self._shape(header), header)
            good: list[TraceRow] = []
            faults = list(unusable)
            for line, row in zip(lines, rows, strict=True):
                try:
                    good.append(read(line, row))
                except ValueError as error:
                    faults.append(RowFault(line=line, reason=str(error), row=",".join(map(str, row))))
            yield TraceBatch(good, faults)

    def _shape(self, header: Sequence[str]) -> Shape:
        for shape in self._shapes:
            if set(shape.columns()) <= set(header):
                return shape
        wanted = " or ".join(", ".join(shape.columns()) for shape in self._shapes)
        raise BadInput(
            f"{self._path} is not a trace of the format {self._shapes[0].name}: it needs the columns {wanted} and has "
            f"{', '.join(header)[:500]}; give their names here with --map input=…"
        )


def _renamed(shape: Shape, names: Mapping[str, str]) -> Shape:
    named: dict[str, Any] = dict(names)
    return replace(shape, **named)


_Table = tuple[Sequence[str], Sequence[int], Sequence[Sequence[object]], Sequence[RowFault]]


def _table(path: Path) -> Iterator[_Table]:
    try:
        with path.open("rb") as file:
            packed = file.read(4) == b"PAR1"
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    yield from _parquet_table(path) if packed else read_cells(path)


def _parquet_table(path: Path) -> Iterator[_Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = 1
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
                yield batch.schema.names, range(first, first + len(rows)), rows, []
                first += len(rows)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: row {first} and what follows cannot be read as Parquet: {error}") from None


def _reader(shape: Shape, header: Sequence[str]) -> Callable[[int, Sequence[object]], TraceRow]:
    """What turns a row of cells into a trace row; it raises ValueError with a sentence for the user."""
    where = {column: index for index, column in enumerate(header)}
    at = where[shape.at]
    clients = [where[column] for column in shape.client.split("+") if column]

    def whole(row: Sequence[object], column: str, *, absent: int | None) -> int | None:
        return _whole(column, row[where[column]]) if column else absent

    def read(line: int, row: Sequence[object]) -> TraceRow:
        prompt = whole(row, shape.input, absent=None)
        cached = whole(row, shape.cached, absent=0) or 0
        if prompt is not None and cached > prompt:
            raise ValueError(f"{cached} tokens are cached out of {prompt}")
        count = (
            round(_number(row[where[shape.rate]]) * shape.window_s)
            if shape.rate
            else whole(row, shape.requests, absent=1)
        )
        return TraceRow(
            line=line,
            at_ns=_elapsed(row[at], shape.unit_ns) if shape.unit_ns else _moment(row[at]),
            client="/".join(str(row[index]) for index in clients),
            requests=count or 0,
            input_tokens=prompt,
            cached_input_tokens=cached,
            output_tokens=whole(row, shape.output, absent=None),
        )

    return read


def _whole(column: str, cell: object) -> int:
    match = _WHOLE.fullmatch(str(cell))
    if match is None:
        raise ValueError(f"{column} is {cell!r}, not a whole number of at most 15 digits")
    return int(match[1])


def _number(cell: object) -> Decimal:
    try:
        number = Decimal(str(cell))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or number > 10**12:
        raise ValueError(f"{cell!r} is not a number from 0 to 1e12")
    return number


def _elapsed(cell: object, unit_ns: int) -> int:
    return int(_number(cell) * unit_ns)


def _moment(cell: object) -> int:
    match = _MOMENT.fullmatch(str(cell))
    if match is None:
        raise ValueError(f"{cell!r} is not a date and time such as 2023-11-16 18:15:46.6805900")
    whole = datetime.fromisoformat(match[1] + (match[3] or ""))
    moment = whole if whole.tzinfo else whole.replace(tzinfo=UTC)
    return instant_of(moment) // SECOND * NS + int((match[2] or "").ljust(9, "0"))
