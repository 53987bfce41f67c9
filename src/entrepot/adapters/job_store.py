"""Files, batches and answers in one SQLite file of their own: they change no invoice, so they are not in the log."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from entrepot.core.errors import BadInput, NotFound
from entrepot.core.jobs import ENDED, Batch, StoredFile, TaskAnswer

_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, created_at INTEGER NOT NULL, about BLOB NOT NULL, content BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, created_at INTEGER NOT NULL, ended INTEGER NOT NULL, about BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (
    batch TEXT NOT NULL, line INTEGER NOT NULL, about BLOB NOT NULL, PRIMARY KEY (batch, line)
) WITHOUT ROWID;
"""


class SqliteJobStore:
    """The job store in the file at `path`, made when missing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    def save_file(self, project: str, file: StoredFile, content: bytes) -> None:
        """Keeps a file and its content, or neither; in the place of what has its id."""
        row = (file.id, project, file.created_at, msgspec.json.encode(file), content)
        self._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)", row)

    def file(self, project: str, file_id: str) -> StoredFile:
        """Raises: NotFound, also for another project's file."""
        return msgspec.json.decode(self._one("file", "about", project, file_id), type=StoredFile)

    def files(self, project: str) -> list[StoredFile]:
        """The project's files, newest first."""
        return [msgspec.json.decode(about, type=StoredFile) for about in self._all("file", project)]

    def content(self, project: str, file_id: str) -> bytes:
        """Raises: NotFound."""
        return self._one("file", "content", project, file_id)

    def remove_file(self, project: str, file_id: str) -> None:
        """Raises: NotFound."""
        self._one("file", "about", project, file_id)
        self._db.execute("DELETE FROM file WHERE id = ?", (file_id,))

    def save_batch(self, project: str, batch: Batch) -> None:
        """Inserts or replaces a batch; one that has ended lets go of its answers, which its output files hold."""
        ended = batch.status in ENDED
        row = (batch.id, project, batch.created_at, ended, msgspec.json.encode(batch))
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO batch VALUES (?, ?, ?, ?, ?)", row)
            if ended:
                self._db.execute("DELETE FROM answer WHERE batch = ?", (batch.id,))

    def batch(self, project: str, batch_id: str) -> Batch:
        """Raises: NotFound, also for another project's batch."""
        return msgspec.json.decode(self._one("batch", "about", project, batch_id), type=Batch)

    def batches(self, project: str) -> list[Batch]:
        """The project's batches, newest first."""
        return [msgspec.json.decode(about, type=Batch) for about in self._all("batch", project)]

    def unfinished(self) -> list[tuple[str, Batch]]:
        """(project, batch) of all that have not ended, oldest first."""
        rows = self._db.execute("SELECT project, about FROM batch WHERE NOT ended ORDER BY created_at, id")
        return [(project, msgspec.json.decode(about, type=Batch)) for project, about in rows]

    def save_answer(self, batch_id: str, answer: TaskAnswer) -> None:
        """Keeps a task's answer; the first one stands."""
        row = (batch_id, answer.line, msgspec.msgpack.encode(answer))
        self._db.execute("INSERT OR IGNORE INTO answer VALUES (?, ?, ?)", row)

    def answers(self, batch_id: str) -> list[TaskAnswer]:
        """The answers so far, by line."""
        rows = self._db.execute("SELECT about FROM answer WHERE batch = ? ORDER BY line", (batch_id,))
        return [msgspec.msgpack.decode(about, type=TaskAnswer) for (about,) in rows]

    def _one(self, table: str, column: str, project: str, row_id: str) -> bytes:
        # Table and column are this module's own words, never input.
        found = self._db.execute(
            f"SELECT {column} FROM {table} WHERE id = ? AND project = ?",  # noqa: S608
            (row_id, project),
        ).fetchone()
        if found is None:
            raise NotFound(f"no {table} {row_id!r} in this project", param=f"{table}_id")
        content: bytes = found[0]
        return content

    def _all(self, table: str, project: str) -> list[bytes]:
        query = f"SELECT about FROM {table} WHERE project = ? ORDER BY created_at DESC, id DESC"  # noqa: S608
        return [about for (about,) in self._db.execute(query, (project,))]


def copy_jobs(path: Path, into: Path) -> None:
    """Copies the job store as it is at one moment, whoever writes it, into a new file. Raises: BadInput, OSError."""
    os.close(os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(into)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise BadInput(f"{path} cannot be copied to {into}: {error}") from None
