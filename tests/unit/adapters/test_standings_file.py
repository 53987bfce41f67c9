"""What the books know of budgets in a file: read as it grows, whole again when it begins anew, never half."""

import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from entrepot.adapters import standings_file
from entrepot.adapters.standings_file import FileStandings
from entrepot.core.budgets import Budget, OwnedBudget, Standing, Standings

OWNED = OwnedBudget("project", "search", "acme", Budget(100, kind="total"))


def row(number: int, spent: int = 0) -> Standing:
    limit = msgspec.structs.replace(OWNED.term_at(0).limit, id=f"project/{number}/total/money")
    return Standing(OWNED, limit, "", spent, {"one": 5} if spent else {}, {})


def standings(offset: int, *rows: Standing) -> Standings:
    return Standings(2, 7, 1, offset, ("one", "two"), rows, through=offset)


def spent(parts: list[Standings]) -> list[list[int]]:
    return [[item.spent for item in part.budgets] for part in parts]


def test_a_reader_gets_everything_first_and_then_what_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "home" / "budgets.jsonl"
    writer, reader = FileStandings(path), FileStandings(path)
    assert (reader.load(), reader.load_new()) == (None, [])
    writer.publish(standings(10, row(1), row(2, 20)))
    [first] = reader.load_new()
    assert (first, reader.load_new()) == (standings(10, row(1), row(2, 20)), [])
    writer.publish(standings(11, row(1), row(2, 20)))
    writer.publish(standings(12, row(1, 3), row(2, 20)))
    nothing, changed = reader.load_new()
    assert (nothing.budgets, nothing.offset, nothing.is_whole) == ((), 11, False)
    assert (changed.budgets, changed.offset, changed.through, changed.is_whole) == ((row(1, 3),), 12, 12, False)
    assert reader.load() == FileStandings(path).load() == standings(12, row(1, 3), row(2, 20))


def test_what_is_gone_begins_the_file_anew_and_so_does_another_publisher(tmp_path: Path) -> None:
    path = tmp_path / "budgets.jsonl"
    writer, reader = FileStandings(path), FileStandings(path)
    writer.publish(standings(1, row(1), row(2)))
    reader.load_new()
    for number, one in enumerate((writer, FileStandings(path)), 2):
        one.publish(standings(number, row(2)))
        [part] = reader.load_new()
        assert part == standings(number, row(2))
    path.unlink()
    assert reader.load_new() == []
    writer.publish(standings(5, row(2)))
    assert spent(reader.load_new()) == [[0]]


def test_the_file_is_begun_anew_before_changes_outgrow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings_file, "_CHANGES_BYTES", 10_000)
    path = tmp_path / "budgets.jsonl"
    writer = FileStandings(path)
    sizes = []
    for number in range(200):
        writer.publish(standings(number, *(row(other, number) for other in range(3))))
        sizes.append(path.stat().st_size)
    assert max(sizes) < 15_000
    assert sizes[0] < 2_000
    assert FileStandings(path).load() == standings(199, *(row(other, 199) for other in range(3)))


def test_much_is_read_in_pieces_and_a_piece_says_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "budgets.jsonl"
    rows = [row(number, number) for number in range(50)]
    FileStandings(path).publish(standings(1, *rows))
    reader, parts = FileStandings(path, bytes_at_once=3_000), []
    while new := reader.load_new():
        parts += new
    assert len(parts) > 5
    assert [item for part in parts for item in part.budgets] == rows
    assert [part.before for part in parts[1:]] == [50 - part.left for part in parts[:-1]]
    assert parts[-1].left == 0


def test_what_could_not_be_written_whole_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves half a line behind: whoever reads waits, and gets everything with the next one."""
    path = tmp_path / "budgets.jsonl"
    writer, reader = FileStandings(path), FileStandings(path)
    writer.publish(standings(1, row(1), row(2)))
    reader.load_new()
    write = standings_file._write

    def full(path: Path, how: int, lines: bytes) -> os.stat_result:
        write(path, how, lines[: len(lines) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(standings_file, "_write", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            writer.publish(standings(2, row(1, 5), row(2, 6)))
    assert spent(reader.load_new()) == []
    assert reader.load() == standings(1, row(1), row(2))
    monkeypatch.undo()
    writer.publish(standings(3, row(1, 7), row(2, 6)))
    assert reader.load_new() == [standings(3, row(1, 7), row(2, 6))]


@pytest.mark.parametrize("content", [b"{", b"{}\n", b'{"schema": 1}\n', b"\x00" * 900 + b"\n"])
def test_what_is_none_of_ours_counts_as_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "budgets.jsonl"
    path.write_bytes(content)
    reader = FileStandings(path)
    assert (reader.load(), reader.load_new()) == (None, [])
    FileStandings(path).publish(standings(1, row(1)))
    assert reader.load_new() == [standings(1, row(1))]


def test_a_tick_without_news_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "budgets.jsonl"
    FileStandings(path).publish(standings(1, row(1)))
    reader = FileStandings(path)
    reader.load_new()

    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("it is the same file, and as long")

    monkeypatch.setattr(Path, "open", opened)
    assert reader.load_new() == []
