"""The daily reconciliation as an operator meets it: commands, the worker's round, doctor, console."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrepot.cli.main import main
from entrepot.compose.books import open_books, open_current_books, open_log
from entrepot.compose.day_keeper import INCIDENTS, RECONCILED, days_of, reconcile_due_days
from entrepot.compose.settings import Settings, load_settings
from entrepot.core.log_records import Marked
from entrepot.core.metrics import Report
from entrepot.core.periods import DAY, HOUR, SECOND
from entrepot.edge.console_pages import reconciled_part
from tests.support.billing import MARCH, applied, prices, recorded, usage, version, world

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A data directory with two days of usage, complete."""
    monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "var"))
    settings = load_settings({"ENTREPOT_HOME": str(tmp_path / "var")}, {})
    priced = world(version(prices(("m", "input_tokens", "1"))))
    events = [usage(f"{number:032x}", MARCH + number * HOUR) for number in range(48)]
    with open_log(settings) as log:
        log.append([applied(priced), *recorded(*events), Marked(at=MARCH + 2 * DAY + HOUR)])
    with open_current_books(settings):
        return settings


@pytest.fixture
def run(home: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    def running(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        status = main([*arguments, "--json"])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else said.err

    return running


def a_round(settings: Settings) -> dict[str, int]:
    """The metrics after a round of the worker."""
    told: list[Report] = []
    with open_current_books(settings), open_log(settings) as log:
        reconcile_due_days(settings, days_of(settings), log, told.append)
    with open_current_books(settings):
        return {measured.metric.name: measured.values[()][0] for measured in told[-1]}


def finding(run: Run) -> dict[str, str]:
    (found,) = [item for item in run("doctor")[1]["findings"] if item["name"] == "reconciliation"]
    return dict(found)


def test_each_day_is_reconciled_once_and_seen(home: Settings, run: Run) -> None:
    assert finding(run)["detail"].startswith("none yet")
    assert a_round(home) == {INCIDENTS.name: 0, RECONCILED.name: (MARCH + 2 * DAY) // SECOND}
    assert a_round(home) == {INCIDENTS.name: 0, RECONCILED.name: (MARCH + 2 * DAY) // SECOND}
    with open_books(home) as books:
        (kept,) = books.reconciliations()
        (part,) = reconciled_part([kept])
    assert (kept.since, kept.faults, part.good) == (MARCH + DAY, (), True)
    assert finding(run)["state"] == "good"
    with open_log(home) as log:
        log.append([Marked(at=MARCH + 4 * DAY)])
    assert a_round(home)[RECONCILED.name] == (MARCH + 4 * DAY) // SECOND
    assert run("verify")[1]["equal"]


def test_an_incident_is_seen_until_it_is_mended(home: Settings, run: Run) -> None:
    with sqlite3.connect(home.books_file) as raw:
        raw.execute(f"UPDATE reading SET quantity = 11, posted = 11 WHERE hour = {MARCH + 30 * HOUR}")
    raw.close()
    assert a_round(home)[INCIDENTS.name] == 1
    said = finding(run)
    assert said["state"] == "bad"
    assert "the readings: contract acme@2024-01-01, input_tokens, hour 2024-03-02T06:00:00Z" in said["detail"]
    with open_books(home) as books:
        (part,) = reconciled_part(books.reconciliations())
    assert not part.good
    status, found = run("reconcile", "day", "2024-03-02")
    assert (status, found["agrees"], len(found["faults"])) == (1, False, 2)
    for name in ("books.db", "books.db-wal", "books.db-shm"):
        home.books_file.with_name(name).unlink(missing_ok=True)
    status, found = run("reconcile", "day", "2024-03-02", "--keep")
    assert (status, found["agrees"], found["places"], found["accruals"]) == (0, True, 24, 24)
    assert finding(run)["state"] == "good"


def test_a_month_and_what_is_no_day(run: Run) -> None:
    status, found = run("reconcile", "month", "2024-03")
    assert (status, found["faults"], found["places"]) == (0, [], 48)
    assert "is not a day such as" in run("reconcile", "day", "2024-03-02T05:00:00Z")[1]
    assert "'soon' is not a day" in run("reconcile", "day", "soon")[1]
