"""Tables: exact in both forms, nothing where there is nothing, and no more memory for more rows."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from entrepot.adapters.usage_files.tables import open_table
from entrepot.core.errors import BadInput
from entrepot.ports.tables import Cell, Column

COLUMNS = (Column("name"), Column("cost", "decimal", 24), Column("at", "time"))


def test_csv_and_parquet_of_the_same_rows(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["a,b", "-0.000000000000000000000001", 1], [None, "12345678901234.5", None]]
    for name in ("t.csv", "t.parquet"):
        with open_table(tmp_path / name, COLUMNS) as table:
            table.add(rows)
    assert (tmp_path / "t.csv").read_text() == (
        'name,cost,at\n"a,b",-0.000000000000000000000001,1970-01-01T00:00:00.000001Z\n,12345678901234.5,\n'
    )
    told = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert [f"{row['cost']:f}" for row in told] == ["-0.000000000000000000000001", f"12345678901234.5{'0' * 23}"]
    assert [row["at"] for row in told][1] is None


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    with open_table(tmp_path / "t.parquet", COLUMNS):
        pass
    assert pq.read_table(tmp_path / "t.parquet").column_names == ["name", "cost", "at"]


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"), open_table(tmp_path / "t.parquet", COLUMNS) as table:
        table.add([["a", "1", 0], ["too short"]])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="cannot be written"), open_table(tmp_path / "no" / "t.csv", COLUMNS):
        pass


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str) -> None:
    def peak(batches: int) -> int:
        tracemalloc.start()
        with open_table(tmp_path / name, COLUMNS) as table:
            for rows in _many(batches):
                table.add(rows)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    peak(1)  # What is only loaded once.
    assert peak(60) < 2 * peak(6)


def _many(batches: int) -> Iterator[list[list[Cell]]]:
    for number in range(batches):
        yield [[f"row {at}", f"{number}.{at:012d}", at] for at in range(500)]
