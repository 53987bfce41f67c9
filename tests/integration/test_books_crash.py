"""Books on a real disk: killed anywhere, tampered with, full, locked, damaged."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from entrepot.adapters.sql import database
from entrepot.adapters.sql.books import SqliteBooks, open_books
from entrepot.adapters.sql.database import Database
from entrepot.core.errors import BooksUnavailable
from entrepot.core.log_records import Abandoned, KeyIssued, LogRecord, Marked, MonthClosed, Progressed
from entrepot.core.periods import DAY, HOUR
from entrepot.flows.compare_books import check, compare
from entrepot.ports.books import Books
from entrepot.workers import Fold, fold, verify
from tests.support.billing import (
    APRIL,
    MARCH,
    ListLog,
    admitted,
    applied,
    folded,
    prices,
    recorded,
    usage,
    version,
    world,
)

PRICES = prices(("m", "input_tokens", "0.15"), ("m", "output_tokens", "0.60"))
WORLD = world(version(PRICES), customers=["acme", "zeta"])
GREATER = world(version(PRICES), customers=["acme", "nobody", "zeta"])


def a_life() -> list[LogRecord]:
    """A short log with every kind of record that writes."""
    used = [
        usage(f"{number:032x}", MARCH + number * HOUR // 3, meters={"input_tokens": number}) for number in range(12)
    ]
    return [
        *recorded(usage("early", customer="zeta")),
        applied(WORLD),
        KeyIssued(at=1, key_id="k", digest="d", project="search", name="n"),
        admitted("open"),
        admitted(used[3].id),
        *recorded(*used[:8]),
        Progressed(id="open", at=MARCH, output_tokens=3),
        Marked(at=MARCH + 2 * HOUR),
        *recorded(*used[5:], usage(used[0].id), usage("waits", customer="nobody"), usage("broken", tier="gold")),
        Abandoned(id="open", at=MARCH, outcome="client_left", answered=True, output_tokens=4),
        MonthClosed(at=APRIL, period="2024-03"),
        *recorded(usage("open", meters={"input_tokens": 7, "output_tokens": 4}, source="estimated")),
        MonthClosed(at=APRIL + HOUR, period="2024-03"),
        *recorded(usage("d", customer="nobody"), usage("late", MARCH + DAY), usage("c", customer="zeta")),
        applied(GREATER),
        MonthClosed(at=APRIL + 31 * DAY, period="2024-04"),
    ]


class Killed(BaseException):
    """The process would be dead here."""


class Mortal:
    """A connection that dies before its nth statement."""

    def __init__(self, connection: sqlite3.Connection, statements: int, die: Callable[[], None]) -> None:
        self._connection = connection
        self._left = statements
        self._die = die

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self._count()
        return self._connection.execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self._count()
        return self._connection.executemany(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._die()


def mortal_books(path: Path, statements: int, die: Callable[[], None]) -> Books:
    """Books at the path whose nth statement, counted from their opening, is their last."""
    kept = Database(str(path))
    kept._connection = Mortal(kept._connection, statements, die)  # type: ignore[assignment]
    return SqliteBooks(kept)


def raise_killed() -> None:
    raise Killed


@pytest.mark.parametrize("batch", [4, 100])
def test_folding_goes_on_after_dying_before_any_statement(tmp_path: Path, batch: int) -> None:
    log = ListLog(a_life())
    whole = folded(*log.records, batch=batch)
    path, statements, deaths = tmp_path / "books.db", 0, 0
    alive = False
    while not alive:
        statements += 1 + statements // 8
        path.unlink(missing_ok=True)
        books = mortal_books(path, statements, raise_killed)
        alive = True
        try:
            fold(books, log, batch=batch)
        except Killed:
            alive = False
            deaths += 1
        books.close()
        again = open_books(str(path))
        fold(again, log, batch=batch)
        assert again.digest() == whole.digest(), f"died before statement {statements}"
        assert list(check(again)) == []
        again.close()
    assert deaths > 20


def test_the_same_fold_goes_on_after_a_failure(tmp_path: Path) -> None:
    """A failed batch leaves nothing behind in memory either: what was numbered in it is numbered again."""
    log = ListLog(a_life())
    whole = folded(*log.records)
    for statements in range(8, 240, 5):
        path = tmp_path / f"{statements}.db"
        books = mortal_books(path, statements, raise_killed)
        worker = None
        while worker is None or worker.step(log, 7):
            with suppress(Killed):
                worker = worker or Fold(books)
                while worker.step(log, 7):
                    pass
        assert books.digest() == whole.digest()
        books.close()


SCRIPT = """
import os, signal, sys
from pathlib import Path
from tests.integration.test_books_crash import a_life, mortal_books
from tests.support.billing import ListLog
from entrepot.workers import fold
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
fold(mortal_books(Path(sys.argv[1]), int(sys.argv[2]), die), ListLog(a_life()), batch=5)
"""


@pytest.mark.parametrize("statements", [3, 40, 90, 150, 190])
def test_a_killed_process_loses_and_doubles_nothing(tmp_path: Path, statements: int) -> None:
    path = tmp_path / "books.db"
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(statements)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert ended.returncode == -signal.SIGKILL
    log = ListLog(a_life())
    whole, again = open_books(":memory:"), open_books(str(path))
    fold(whole, log)
    fold(again, log)
    assert list(compare(again, whole)) == []
    again.close()


IN_PIECES = """
import os, signal, sys
from pathlib import Path
from tests.integration.test_books_crash import a_life, mortal_books
from tests.support.billing import ListLog
from entrepot.workers import Fold
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
worker = Fold(mortal_books(Path(sys.argv[1]), int(sys.argv[2]), die), piece=1)
while worker.step(ListLog(a_life()), 5):
    pass
"""


def test_a_close_killed_again_and_again_comes_to_the_same(tmp_path: Path) -> None:
    """Each process folds in the smallest pieces and lives for so many statements; the last one is left alone."""
    path, root = tmp_path / "books.db", Path(__file__).resolve().parents[2]
    deaths, points = 0, 0
    while True:
        arguments = [sys.executable, "-c", IN_PIECES, str(path), str(60 if deaths < 8 else 10**6)]
        ended = subprocess.run(arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        deaths += 1
        books = open_books(str(path))
        points += books.recovery_point() is not None
        books.close()
    whole, found = open_books(":memory:"), open_books(str(path))
    fold(whole, ListLog(a_life()))
    assert found.digest() == whole.digest()
    assert deaths > 4
    assert points > 0
    found.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of finished books."""
    path = tmp_path / "books.db"
    folded(*a_life(), path=str(path)).close()
    return path


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET at = at + 1", "the journal is append-only"),
        ("DELETE FROM journal WHERE no = 1", "the journal is append-only"),
        (
            "INSERT OR REPLACE INTO journal SELECT no, key, kind, at + 1, hash FROM journal",
            "the journal is append-only",
        ),
        ("UPDATE posting SET micro = 1", "the journal is append-only"),
        ("DELETE FROM posting", "the journal is append-only"),
        ("UPDATE invoice SET body = x'00'", "invoices are frozen"),
        ("DELETE FROM invoice", "invoices are frozen"),
        ("UPDATE invoice_reading SET quantity = 0", "invoices are frozen"),
        ("DELETE FROM invoice_reading", "invoices are frozen"),
        ("UPDATE usage_event SET series = 1", "usage events are append-only"),
        ("DELETE FROM usage_event", "usage events are append-only"),
        ("UPDATE world SET at = 0", "world versions are append-only"),
        ("DELETE FROM world", "world versions are append-only"),
    ],
)
def test_what_is_written_once_stays(path: Path, statement: str, said: str) -> None:
    kept = Database(str(path))
    with pytest.raises(sqlite3.IntegrityError, match=said):
        kept.execute(statement)
    kept.close()


@pytest.mark.parametrize(
    ("trigger", "statement", "said"),
    [
        ("posting_no_update", "UPDATE posting SET micro = micro + 1 WHERE entry = 2 AND leg = 0", "2 (usage:"),
        ("journal_no_update", "UPDATE journal SET at = at + 1 WHERE no = 3", "3 (usage:"),
        ("journal_no_delete", "DELETE FROM journal WHERE no = 2", "does not follow"),
        (
            "invoice_no_update",
            "UPDATE invoice SET body = CAST(replace(body, '0', '1') AS BLOB)",
            "invoice 2024-03-000001 is not what",
        ),
    ],
)
def test_who_takes_the_trigger_away_is_found_out(path: Path, trigger: str, statement: str, said: str) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute(f"DROP TRIGGER {trigger}")
        raw.execute(statement)
    raw.close()
    books = open_books(str(path))
    assert said in next(check(books))
    found = verify(books, open_books(":memory:"), ListLog(a_life()))
    assert any("differs in row" in sentence for sentence in found)
    books.close()


def test_balanced_tampering_breaks_the_chain(path: Path) -> None:
    """Both legs doubled: the entry still sums to zero, and the hash gives it away."""
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER posting_no_update")
        raw.execute("UPDATE posting SET micro = micro + micro, pico_rem = 0 WHERE entry = 2 AND pico_rem = 0")
        raw.execute("UPDATE posting SET currency = 'EUR' WHERE entry = 2")
    raw.close()
    books = open_books(str(path))
    assert [sentence for sentence in check(books) if "was altered" in sentence] != []
    books.close()


def test_a_full_disk_leaves_the_books_as_they_were(tmp_path: Path) -> None:
    kept = Database(str(tmp_path / "books.db"))
    books = SqliteBooks(kept)
    log = ListLog([applied(WORLD), *recorded(*(usage(f"{number:032x}", raw=b"x" * 900) for number in range(2000)))])
    worker = Fold(books)
    worker.step(log, 10)
    before = books.digest()
    pages = kept.one("PRAGMA page_count")
    assert pages is not None
    kept.all(f"PRAGMA max_page_count = {pages[0] + 5}")
    with pytest.raises(BooksUnavailable, match=r"disk is full.*free the disk"):
        worker.step(log, 5000)
    assert books.digest() == before
    kept.all("PRAGMA max_page_count = 1000000")
    while worker.step(log, 500):
        pass
    assert verify(books, open_books(":memory:"), log) == []
    books.close()


def test_a_writer_waits_for_the_other_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_S", 0.05)
    one, two = open_books(str(path)), open_books(str(path))

    def write() -> None:
        with two.transaction():
            two.save_watermark(1)

    with one.transaction(), pytest.raises(BooksUnavailable, match=r"locked.*stop the other writer"):
        write()
    write()
    one.close()
    two.close()


def test_a_snapshot_stands_still_while_others_write(path: Path) -> None:
    reader, writer = open_books(str(path)), open_books(str(path))
    with reader.snapshot():
        before = reader.digest()
        with writer.transaction():
            writer.save_watermark(APRIL * 2)
        assert reader.digest() == before
    assert reader.watermark() == APRIL * 2
    reader.close()
    writer.close()


def test_a_damaged_file_says_that_it_can_be_made_again(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(BooksUnavailable, match=r"is damaged.*remove it.*folded again from the log"):
        open_books(str(path))


def test_a_damaged_page_is_one_sentence(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (size - 8192))
    with pytest.raises(BooksUnavailable, match="is damaged"):
        verify(open_books(str(path)), open_books(":memory:"), ListLog(a_life()))


def test_a_newer_file_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(BooksUnavailable, match="written by a newer"):
        open_books(str(path))


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BooksUnavailable, match="cannot be used"):
        open_books(str(tmp_path / "file" / "books.db"))
