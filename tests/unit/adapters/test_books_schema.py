import sqlite3
from importlib import resources
from pathlib import Path

import msgspec

from entrepot.adapters.sql.books import open_books
from entrepot.adapters.sql.database import Database
from entrepot.core.log_records import AttemptEnded

SCRIPTS = sorted(
    (one for one in resources.files("entrepot.adapters.sql").joinpath("migrations").iterdir() if one.name[0].isdigit()),
    key=lambda one: one.name,
)


def schema_of(path: Path) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    connection.close()
    return rows


def test_each_script_has_the_number_of_the_schema_it_makes() -> None:
    assert [int(one.name[:4]) for one in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))


def test_books_of_any_earlier_schema_become_what_fresh_ones_are(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.db"
    Database(str(fresh)).close()
    for number in range(1, len(SCRIPTS)):
        path = tmp_path / f"{number}.db"
        connection = sqlite3.connect(path)
        for script in SCRIPTS[:number]:
            connection.executescript(script.read_text())
        connection.execute(f"PRAGMA user_version = {number}")
        connection.commit()
        connection.close()
        Database(str(path)).close()
        assert schema_of(path) == schema_of(fresh), number


def test_attempts_of_an_earlier_schema_are_told_as_those_that_are_folded_anew(tmp_path: Path) -> None:
    refused = AttemptEnded("a", 1, 1, 2, "east", "refused", 503)
    attempts = [
        refused,
        msgspec.structs.replace(refused, number=2, meters={"input_tokens": 1}, raw=b"{}"),
        msgspec.structs.replace(refused, id="refused", upstream="refused", outcome="broken"),
    ]
    path = tmp_path / "books.db"
    with sqlite3.connect(path) as connection:
        for script in SCRIPTS[:16]:
            connection.executescript(script.read_text())
        connection.execute("PRAGMA user_version = 16")
        encode = msgspec.msgpack.Encoder(order="deterministic").encode
        rows = [(one.id, one.number, one.began_at, one.upstream, bool(one.raw), encode(one)) for one in attempts]
        connection.executemany("INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    kept, anew = open_books(str(path)), open_books(":memory:")
    with anew.transaction():
        for one in attempts:
            anew.end_attempt(one)
    assert list(kept.rows("attempt")) == list(anew.rows("attempt"))
    kept.close()


def test_changed_rows_are_counted_whatever_word_a_statement_begins_with() -> None:
    """sqlite3 counts only behind words that it knows, and knows no INSERT where the locale is Turkish."""
    books = Database("")
    books.execute("CREATE TABLE seen (id INTEGER PRIMARY KEY)")
    unknown = "WITH one (id) AS (VALUES (?)) INSERT OR IGNORE INTO seen SELECT id FROM one"
    assert [books.execute(unknown, (number,)) for number in (1, 2, 2)] == [1, 1, 0]
    assert books.execute_many(unknown, [(2,), (3,), (4,)]) == 2
    values = "WITH none AS (SELECT 1) INSERT OR IGNORE INTO seen VALUES "
    assert books.insert_many(values, list(range(120)), 1) == 116
    assert books.execute("DELETE FROM seen WHERE id < 100") == 100
    books.close()
