"""The journal of a model process tells what each request took, from memory, from its file and from the file before."""

import errno
import os
from pathlib import Path

import msgspec
import pytest

from entrepot.adapters.served_journal import PLACE_BYTES, REMEMBERED_MAX, Line, ServedJournalFile
from entrepot.core.errors import BadInput, InvalidRequest, UpstreamUnavailable
from entrepot.ports.model_engine import Served


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "m.served.jsonl"


def reopened(journal: ServedJournalFile, path: Path) -> ServedJournalFile:
    journal.shut()
    return ServedJournalFile(path)


def test_a_request_is_told_from_its_begin_to_its_end_and_after(path: Path) -> None:
    journal = ServedJournalFile(path)
    assert journal.find("a") is None
    journal.begin("a")
    assert journal.find("a") == Served("running")
    journal.note("a", Served("running", 9, 1))
    assert journal.find("a") == Served("running", 9, 1)
    journal.close("a", Served("finished", 9, 4, 2))
    assert journal.find("a") == Served("finished", 9, 4, 2)
    journal = reopened(journal, path)
    assert journal.find("a") == Served("finished", 9, 4, 2)
    journal.shut()


def test_a_request_that_cannot_be_noted_was_never_here(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk refuses it; the same id comes again when there is room, and nobody is told that it runs."""
    journal = ServedJournalFile(path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(UpstreamUnavailable, match="No space left on device; make room for"):
            journal.begin("a")
    assert journal.find("a") is None
    journal.begin("b")
    journal.begin("a")
    assert (journal.find("a"), journal.find("b")) == (Served("running"), Served("running"))
    journal = reopened(journal, path)
    assert (journal.find("a"), journal.find("b")) == (Served("cancelled"), Served("cancelled"))
    journal.shut()


def test_what_was_running_when_the_process_ended_is_cancelled_with_its_last_count(path: Path) -> None:
    journal = ServedJournalFile(path)
    for name in "abcd":
        journal.begin(name)
    journal.note("b", Served("running", 9, 0))
    journal.note("c", Served("running", 9, 1))
    journal.note("c", Served("running", 9, 2))
    journal.close("d", Served("finished", 9, 3))
    for _ in range(2):  # Also when the one after it is gone.
        journal = reopened(journal, path)
        assert [journal.find(name) for name in "abcd"] == [
            Served("cancelled"),
            Served("cancelled", 9),
            Served("cancelled", 9, 2),
            Served("finished", 9, 3),
        ]
    journal.shut()


def test_a_process_killed_while_it_closes_a_request_leaves_it_closed(path: Path) -> None:
    """Given a line in the journal and the place not yet freed, when the next one starts, then the line counts."""
    journal = ServedJournalFile(path)
    journal.begin("a")
    running = path.with_name(f"{path.name}.running")
    before = running.read_bytes()
    journal.close("a", Served("finished", 9, 3))
    journal.shut()
    running.write_bytes(before)
    journal = ServedJournalFile(path)
    assert journal.find("a") == Served("finished", 9, 3)
    journal.begin("a")  # The same id again, cut off at once: that is another one.
    assert reopened_find(journal, path, "a") == Served("cancelled")


def test_places_are_used_again(path: Path) -> None:
    journal = ServedJournalFile(path)
    for number in range(50):
        journal.begin(f"r{number}")
        journal.begin(f"s{number}")
        journal.close(f"r{number}", Served("finished", number, 1))
        journal.close(f"s{number}", Served("finished", number, 1))
    assert path.with_name(f"{path.name}.running").stat().st_size == 2 * PLACE_BYTES
    longest = Line("x" * 128, 2**63, "cancelled", 2**63, 2**63, 2**63)
    assert len(msgspec.json.encode(longest)) <= PLACE_BYTES
    journal.shut()


def test_an_id_may_come_again_once_it_ended_and_the_last_counts(path: Path) -> None:
    journal = ServedJournalFile(path)
    journal.begin("a")
    with pytest.raises(InvalidRequest, match="is running"):
        journal.begin("a")
    journal.close("a", Served("cancelled", 9))
    journal.begin("a")
    assert journal.find("a") == Served("running")
    journal.close("a", Served("finished", 9, 5))
    assert reopened_find(journal, path, "a") == Served("finished", 9, 5)


def test_ids_that_hold_one_another_are_told_apart(path: Path) -> None:
    journal = ServedJournalFile(path)
    for number, name in enumerate(["a", "aa", "a.a"]):
        journal.begin(name)
        journal.close(name, Served("finished", number, number))
    journal = reopened(journal, path)
    assert [journal.find(name) for name in ("a", "aa", "a.a", "a.")] == [
        Served("finished"),
        Served("finished", 1, 1),
        Served("finished", 2, 2),
        None,
    ]
    journal.shut()


def test_a_half_line_is_taken_off(path: Path) -> None:
    journal = ServedJournalFile(path)
    journal.begin("a")
    journal.close("a", Served("finished", 1, 1))
    journal.begin("b")
    journal.close("b", Served("finished", 1, 1))
    journal.shut()
    path.write_bytes(path.read_bytes()[:-20])
    journal = ServedJournalFile(path)
    assert (journal.find("a"), journal.find("b")) == (Served("finished", 1, 1), None)
    journal.begin("c")
    journal.close("c", Served("finished", 2, 2))
    assert reopened_find(journal, path, "c") == Served("finished", 2, 2)


def test_files_turn_over(path: Path) -> None:
    journal = ServedJournalFile(path, file_bytes_max=2000)
    journal.begin("long")
    for number in range(100):
        journal.begin(f"r{number}")
        journal.close(f"r{number}", Served("finished", number, 1))
    journal = reopened(journal, path)
    assert journal.find("r99") == Served("finished", 99, 1)
    assert journal.find("r90") == Served("finished", 90, 1)
    assert journal.find("r0") is None  # Two files ago.
    assert journal.find("long") == Served("cancelled")
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 6000
    journal.shut()


def test_memory_is_bounded(path: Path) -> None:
    journal = ServedJournalFile(path)
    for number in range(REMEMBERED_MAX + 10):
        journal.begin(f"r{number}")
        journal.close(f"r{number}", Served("finished", number, 1))
    assert len(journal._ended) == REMEMBERED_MAX
    assert journal.find("r0") == Served("finished", 0, 1)
    journal.shut()


def test_one_process_writes_it(path: Path) -> None:
    journal = ServedJournalFile(path)
    with pytest.raises(BadInput, match="another process"):
        ServedJournalFile(path)
    journal.shut()
    ServedJournalFile(path).shut()


def reopened_find(journal: ServedJournalFile, path: Path, name: str) -> Served | None:
    journal = reopened(journal, path)
    found = journal.find(name)
    journal.shut()
    return found
