"""Parquet files of usage records, a batch of rows at a time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrepot.core.errors import BadInput
from entrepot.core.tokens import METERS
from entrepot.ports.usage_rows import RawRow, RowBatch

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 8192
_INSTANTS = ("admitted_at", "finished_at")


class ParquetRecords:
    """The columns of a usage record; meters as columns of their own, or as one struct, map or JSON text `meters`.

    A timestamp column without a zone is in UTC.
    """

    def __init__(self, path: Path, columns: Sequence[str], required: Sequence[str]) -> None:
        self._path = path
        self._columns = columns
        self._required = required

    def batches(self) -> Iterator[RowBatch]:
        """As UsageRows.batches; rows are numbered from 1."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = 1
        try:
            with pq.ParquetFile(self._path, pre_buffer=False) as file:  # buffered ahead it would all stay in memory
                check_header(self._path, file.schema_arrow.names, self._columns, self._required)
                for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                    yield RowBatch(range(first, first + batch.num_rows), _records(batch, self._columns))
                    first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise BadInput(f"{self._path}: row {first} and what follows cannot be read as Parquet: {error}") from None


def check_header(path: Path, header: Sequence[str], columns: Sequence[str], required: Sequence[str]) -> None:
    """Nothing. Raises: BadInput naming the columns that are missing, unknown, or without any meter."""
    missing = [name for name in required if name not in header]
    if missing:
        raise BadInput(f"{path} has no column {', '.join(missing)}; its columns are {', '.join(header)[:500]}")
    unknown = [name for name in header if name not in columns and name not in METERS and name != "meters"]
    if unknown:
        raise BadInput(
            f"{path}: {', '.join(unknown)[:500]} is neither a column of a usage record nor a meter; rename or remove it"
        )
    if "meters" not in header and not METERS & set(header):
        raise BadInput(f"{path} has no meters; name a column after each, such as input_tokens and output_tokens")


def _records(batch: "pa.RecordBatch", columns: Sequence[str]) -> list[RawRow]:
    names = [name for name in batch.schema.names if name in columns]
    fields = [_values(name, batch.column(name)) for name in names]
    records: list[RawRow] = []
    for values, meters in zip(zip(*fields, strict=True), _meters(batch), strict=True):
        record = _present(names, values)
        record["meters"] = meters
        records.append(record)
    return records


def _present(names: Sequence[str], values: Sequence[object]) -> dict[str, object]:
    if None not in values:
        return dict(zip(names, values, strict=True))
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _values(name: str, column: "pa.Array[Any]") -> list[object]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if name in _INSTANTS and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        utc = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False).cast(pa.timestamp("us"))
        column = pc.binary_join_element_wise(utc.cast(pa.string()), "Z", "")
    elif pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    values: list[object] = column.to_pylist()
    return values


def _meters(batch: "pa.RecordBatch") -> list[object]:
    """What each row says under its meters."""
    names = [name for name in batch.schema.names if name in METERS]
    quantities = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    own: list[dict[str, object]] = (
        [_present(names, row) for row in quantities] if names else [{} for _ in range(batch.num_rows)]
    )
    if "meters" not in batch.schema.names:
        return list(own)
    return [_joined(*both) for both in zip(own, batch.column("meters").to_pylist(), strict=True)]


def _joined(own: dict[str, object], whole: object) -> object:
    if isinstance(whole, str):
        try:
            whole = json.loads(whole)
        except ValueError:
            return whole  # text where an object should be: the row is refused with that reason
    if isinstance(whole, list):  # a map column comes as pairs
        whole = dict(whole)
    if whole is None:
        return own
    if not isinstance(whole, Mapping):
        return whole
    return {**own, **{meter: quantity for meter, quantity in whole.items() if quantity is not None}}
