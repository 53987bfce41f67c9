import sqlite3
from importlib import resources
from pathlib import Path

from entrepot.adapters.sql.database import Database

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
