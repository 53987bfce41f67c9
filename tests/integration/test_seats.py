"""Seats through the commands: applied, closed, reported; and what is refused once they have begun."""

import json
from pathlib import Path

import pytest

from entrepot.cli.main import main
from tests.support.worlds import SMALL

DESK = "subscriptions:\n  - {id: desk, customer: acme, each_month: '30', from: 2024-01-01, seats: SEATS}\n"
GROWN = "[{from: 2024-01-01, seats: 10}, {from: 2024-02-10, seats: 12}]"


def run(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([*words, "--home", str(home)])
    told = capsys.readouterr()
    return status, told.out, told.err


def apply(capsys: pytest.CaptureFixture[str], home: Path, seats: str) -> tuple[int, str, str]:
    world = home.parent / "world.yaml"
    world.write_text(SMALL + DESK.replace("SEATS", seats))
    return run(capsys, home, "apply", str(world))


def test_seats_are_applied_closed_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    assert apply(capsys, home, GROWN)[0] == 0
    for month in ("2024-01", "2024-02"):
        assert run(capsys, home, "close", month)[0] == 0
    invoice = json.loads(run(capsys, home, "invoice", "show", "2024-02-000001", "--json")[1])
    assert [(line["quantity"], line["amount"]) for line in invoice["lines"]] == [
        ("10", "300.00"),
        ("1.379310344828", "41.38"),
    ]
    report = json.loads(run(capsys, home, "report", "seats", "--period", "2024-02", "--json")[1])
    assert [item["seats"] for item in report["subscriptions"]] == [12]
    assert "desk" in run(capsys, home, "report", "seats", "--period", "2024-02", "--users")[1]
    status, _, said = run(capsys, home, "report", "seats", "--period", "2023-12")
    assert (status, said) == (
        1,
        "entrepot: no subscription has begun by 2023-12; a world file declares them under subscriptions\n",
    )
    assert run(capsys, home, "verify")[0] == 0


def test_fewer_seats_are_refused_within_a_term(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    assert apply(capsys, home, GROWN)[0] == 0
    status, _, said = apply(capsys, home, GROWN.replace("12", "11"))
    assert status == 1
    assert "subscription desk had 12 seats on 2024-02-10T00:00:00Z and cannot have 11" in said
    assert apply(capsys, home, GROWN.replace("12", "13"))[0] == 0
