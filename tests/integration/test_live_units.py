"""Provisioned units in a data directory: closed they come to what the bill of the same files says, and stay so."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from entrepot.cli.main import main
from tests.support.worlds import changed

PRICED = changed(
    '          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n',
    '          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n'
    '          - {model: gpt-4, meter: provisioned_unit_hours, each: "1.00"}\n',
)
RESERVED = changed(
    "    price_book: list\n",
    "    price_book: list\n"
    "    terms: [{kind: reservation, units: 100, each_hour: '0.35', from: '2024-03-05T10:00:00Z', "
    "to: '2024-03-05T14:00:00Z'}]\n",
    PRICED,
)
PEAK = "  - {id: peak, project: search, model: gpt-4, kind: provisioned, spillover: chat, units: UNITS}\n"
KNOWN = "{from: '2024-03-05T10:20:00Z', units: 100}, {from: '2024-03-05T11:30:00Z', units: 150}"
WHOLE = f"[{KNOWN}, {{from: '2024-03-05T13:15:00Z', units: 0}}]"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main(list(words))
    told = capsys.readouterr()
    return status, told.out, told.err


def written(folder: Path, units: str, text: str = RESERVED) -> str:
    path = folder / "world.yaml"
    path.write_text(text + PEAK.replace("UNITS", units))
    return str(path)


def test_live_and_offline_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The deployment's end is told only after its months were closed once: the next invoice gives the rest back."""
    at_home = ("--home", str(tmp_path / "home"))
    assert run(capsys, "apply", written(tmp_path, f"[{KNOWN}]"), *at_home)[0] == 0
    assert run(capsys, "close", "2024-03", *at_home)[0] == 0
    assert run(capsys, "apply", written(tmp_path, WHOLE), *at_home)[0] == 0
    assert run(capsys, "close", "2024-04", *at_home)[0] == 0
    invoices = [
        json.loads(run(capsys, "invoice", "show", f"2024-{month}-000001", "--json", *at_home)[1])
        for month in ("03", "04")
    ]
    lines = [line for invoice in invoices for line in invoice["lines"]]
    assert {line["period"] for line in lines} == {"2024-03"}
    sums = dict.fromkeys(("usage", "reservation"), Decimal())
    for line in lines:
        sums[line["kind"].replace("adjustment", "usage")] += Decimal(line["amount"])
    billed = json.loads(run(capsys, "bill", "--world", written(tmp_path, WHOLE), "--period", "2024-03", "--json")[1])
    (invoice,) = billed["invoices"]
    assert sums == {line["kind"]: Decimal(line["amount"]) for line in invoice["lines"]}
    assert sums == {"usage": Decimal("87.50"), "reservation": Decimal("140.00")}
    assert run(capsys, "reconcile", "month", "2024-03", *at_home)[0] == 0
    assert run(capsys, "verify", *at_home)[0] == 0


def test_a_reservation_that_is_agreed_late_is_a_correction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at_home = ("--home", str(tmp_path / "home"))
    assert run(capsys, "apply", written(tmp_path, WHOLE, PRICED), *at_home)[0] == 0
    assert run(capsys, "close", "2024-03", *at_home)[0] == 0
    assert run(capsys, "apply", written(tmp_path, WHOLE), *at_home)[0] == 0
    assert run(capsys, "close", "2024-04", *at_home)[0] == 0
    totals = [
        json.loads(run(capsys, "invoice", "show", f"2024-{month}-000001", "--json", *at_home)[1])["total"]
        for month in ("03", "04")
    ]
    assert totals == ["379.17", "-151.67"]  # 227.50 in all: the scenario's own figures.
    assert run(capsys, "reconcile", "month", "2024-04", *at_home)[0] == 0
    assert run(capsys, "verify", *at_home)[0] == 0


def test_terms_of_time_in_which_units_stood_cannot_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at_home = ("--home", str(tmp_path / "home"))
    assert run(capsys, "apply", written(tmp_path, WHOLE), *at_home)[0] == 0
    assert run(capsys, "close", "2024-03", *at_home)[0] == 0
    status, _, said = run(capsys, "apply", written(tmp_path, WHOLE, RESERVED.replace("0.35", "0.30")), *at_home)
    assert (status, "reservation-1 of contract acme@2024-01-01 has begun" in said) == (1, True), said
    moved = RESERVED.replace("    price_book: list\n", "    price_book: list\n    zone: Europe/Berlin\n")
    status, _, said = run(capsys, "apply", written(tmp_path, WHOLE, moved), *at_home)
    assert (status, "contract acme@2024-01-01 has usage or invoices until" in said) == (1, True), said
    status, _, said = run(
        capsys, "apply", written(tmp_path, WHOLE, RESERVED.replace('each: "1.00"', 'each: "2"')), *at_home
    )
    assert (status, "a price of list@2024-01-01 cannot change" in said) == (1, True), said


USED = {
    "id": "served",
    "admitted_at": "2024-03-05T11:00:00Z",
    "customer": "acme",
    "project": "search",
    "deployment": "peak",
    "model": "gpt-4",
    "meters": {"input_tokens": 1_000_000},
}


def test_what_units_served_costs_nothing_at_other_prices_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home = ("--home", str(tmp_path / "home"))
    (tmp_path / "usage.jsonl").write_text(json.dumps(USED) + "\n")
    assert run(capsys, "apply", written(tmp_path, WHOLE), *at_home)[0] == 0
    assert run(capsys, "usage", "import", str(tmp_path / "usage.jsonl"), *at_home)[0] == 0
    assert run(capsys, "close", "2024-03", *at_home)[0] == 0
    dearer = written(tmp_path, WHOLE, RESERVED.replace('each: "1.00"', 'each: "2"'))
    told = json.loads(run(capsys, "price", "diff", "--world", dearer, "--period", "2024-03", "--json", *at_home)[1])
    assert [(item["old"], item["new"]) for item in told["customers"]] == [("227.50", "315.00")]
