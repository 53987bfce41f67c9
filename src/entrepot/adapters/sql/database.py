"""One SQLite connection: how it is opened, migrated and committed."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from entrepot.core.errors import BooksUnavailable

Row = tuple[Any, ...]
T = TypeVar("T")

_BUSY_S = 60.0  # A fold commits within a second; who waits a minute is stuck.
_CHUNK = 2000  # Rows fetched at a time; large enough that the call does not count, small enough to stay in cache.
_ASKED_AT_ONCE = 500
_ROWS_AT_ONCE = 50
_PRAGMAS = (
    "page_size = 8192",  # Bulk folding writes about three per cent faster than with 4096.
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -65536",  # 64 MB
    "wal_autocheckpoint = 16384",  # 64 MB, so that bulk folding does not copy each page back after each commit
    "journal_size_limit = 67108864",
    "recursive_triggers = ON",  # REPLACE must not slip past the triggers that forbid DELETE
)


class Database:
    """A connection in autocommit mode; `transaction` is the only way to commit more than one statement."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.on_rollback: list[Callable[[], None]] = []
        self._explained = _Explained(path)
        with self._explained:
            if path not in ("", ":memory:"):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
            self._migrate()

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    def execute(self, sql: str, values: Iterable[object] = ()) -> int:
        """How many rows the statement changed."""
        with self._explained:
            before = self._connection.total_changes
            self._connection.execute(sql, tuple(values))
            return self._changed_since(before)

    def execute_many(self, sql: str, rows: Iterable[Row]) -> int:
        """How many rows the statement changed over all rows of values."""
        with self._explained:
            before = self._connection.total_changes
            self._connection.executemany(sql, rows)
            return self._changed_since(before)

    def insert_many(self, sql: str, flat: Sequence[Any], columns: int) -> int:
        """How many rows were inserted. sql ends with VALUES; flat: the rows' values one after another."""
        with self._explained:
            before = self._connection.total_changes
            for _ in self._in_pieces(sql, "", flat, columns):
                pass
            return self._changed_since(before)

    def _changed_since(self, before: int) -> int:
        """Not a cursor's rowcount: sqlite3 looks for `insert` by the locale's letters, of which INSERT is none in
        Turkish, and counts nothing then. SQLite's count of changes has 32 bits.
        """
        return (self._connection.total_changes - before) % 2**32

    def count_many(self, before: str, behind: str, flat: Sequence[Any], columns: int) -> int:
        """The sum of a query's counts over VALUES, which stand between the two parts of the query."""
        with self._explained:
            return sum(cursor.fetchone()[0] for cursor in self._in_pieces(before, behind, flat, columns))

    def _in_pieces(self, before: str, behind: str, flat: Sequence[Any], columns: int) -> Iterator[sqlite3.Cursor]:
        """A statement over all rows of values, fifty at a time: that takes sixty per cent of the time of one by one."""
        one = f"({', '.join('?' * columns)})"
        step = columns * _ROWS_AT_ONCE
        whole = len(flat) - len(flat) % step
        many = before + ", ".join([one] * _ROWS_AT_ONCE) + behind
        for start in range(0, whole, step):
            yield self._connection.execute(many, flat[start : start + step])
        for start in range(whole, len(flat), columns):
            yield self._connection.execute(before + one + behind, flat[start : start + columns])

    def rows(self, sql: str, values: Iterable[object] = ()) -> Iterator[Row]:
        """The rows of a query as they are fetched, without holding them all."""
        with self._explained:
            cursor = self._connection.execute(sql, tuple(values))
            chunk = cursor.fetchmany(_CHUNK)
        while chunk:
            yield from chunk
            with self._explained:
                chunk = cursor.fetchmany(_CHUNK)

    def all(self, sql: str, values: Iterable[object] = ()) -> list[Row]:
        """The rows of a query, which is over when this returns."""
        with self._explained:
            return self._connection.execute(sql, tuple(values)).fetchall()

    def one(self, sql: str, values: Iterable[object] = ()) -> Row | None:
        """The first row of a query, or None."""
        return next(iter(self.all(sql, values)), None)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits at the end of the block; any exception rolls everything back and goes on."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads within the block see one moment; inside a transaction it is that transaction's."""
        if self._connection.in_transaction:
            yield
            return
        self.execute("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        for forget in self.on_rollback:
            forget()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _migrate(self) -> None:
        """Runs the scripts that came since; the schema's version is the number of the last one.

        A script that was released is never changed, and a new one is numbered behind it.
        """
        scripts = sorted(
            (
                entry
                for entry in resources.files(__package__).joinpath("migrations").iterdir()
                if entry.name[0].isdigit()
            ),
            key=lambda entry: entry.name,
        )
        if self._schema() == len(scripts):
            return
        with self.transaction():
            if self._schema() > len(scripts):
                raise BooksUnavailable(
                    f"{self.path} was written by a newer Entrepôt; upgrade this one, or remove the file"
                )
            for number, script in enumerate(scripts[self._schema() :], start=self._schema() + 1):
                for statement in _statements(script.read_text()):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number}")

    def _schema(self) -> int:
        number = self._connection.execute("PRAGMA user_version").fetchone()[0]
        assert isinstance(number, int)
        return number


class _Explained:
    """Turns what the disk or another process did to us into one sentence; our own mistakes stay what they are."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError | sqlite3.OperationalError):
            mend = "free the disk or stop the other writer"
            if "readonly" in str(error):
                mend = "let this user write"
            elif "unable to open" in str(error):
                mend = "let this user read and write them"
            raise BooksUnavailable(f"the books at {self._path} cannot be used ({error}); {mend} and retry") from error
        if type(error) is sqlite3.DatabaseError:
            raise BooksUnavailable(
                f"{self._path} is damaged ({error}); remove it and its -wal and -shm: it is folded again from the log"
            ) from error


def parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in pieces small enough to be the parameters of one query."""
    for start in range(0, len(values), _ASKED_AT_ONCE):
        yield values[start : start + _ASKED_AT_ONCE]


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
