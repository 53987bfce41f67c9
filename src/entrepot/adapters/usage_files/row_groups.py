"""A Parquet file written a row group at a time: rows are held, packed, until there are enough for one."""

from collections.abc import Sequence
from typing import Any, BinaryIO


class RowGroups:
    """schema: pyarrow's. rows: of a group."""

    def __init__(self, file: BinaryIO, schema: Any, rows: int) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._writer: Any = pq.ParquetWriter(file, schema, compression="zstd")
        self._rows_of_group = rows
        self._held: list[Any] = []
        self._rows = 0

    def add(self, columns: Sequence[Sequence[object]]) -> None:
        """Takes rows, as the cells of each column."""
        import pyarrow as pa

        arrays = [pa.array(cells, kind.type) for cells, kind in zip(columns, self._schema, strict=True)]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._rows >= self._rows_of_group:
            self._write_group()

    def end(self) -> None:
        """Writes what is held, and the file's end."""
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_batches(self._held), row_group_size=self._rows)
        self._held, self._rows = [], 0
