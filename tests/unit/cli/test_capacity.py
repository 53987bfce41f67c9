"""`entrepot capacity simulate`: only counts of units that can be had are tried."""

import json
from pathlib import Path

import pytest

from entrepot.cli.main import main
from tests.support.tree import ROOT

WORLD = ROOT / "examples" / "provisioned" / "world.yaml"


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    path = tmp_path / "usage.jsonl"
    of = {"customer": "acme", "model": "gpt-5.2", "meters": {"input_tokens": 50_000}}
    path.write_text(json.dumps({"id": "a", "admitted_at": "2026-03-01T00:00:00Z", **of}))
    return path


def simulated(traffic: Path, units: str, *more: str) -> int:
    of = ("--world", str(WORLD), "--usage", str(traffic), "--period", "2026-03", "--model", "gpt-5.2")
    return main(["capacity", "simulate", *of, "--units", units, "--json", *more])


def test_counts_that_can_be_had_are_tried_as_they_are_given(traffic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulated(traffic, "20,15,105") == 0
    assert [fit["units"] for fit in json.loads(capsys.readouterr().out)["fits"]] == [20, 15, 105]


@pytest.mark.parametrize(
    ("units", "geography", "said"),
    [
        (
            "17",
            "global",
            "17: gpt-5.2 is global provisioned with at least 15 units, in steps of 5; nearest is 15 or 20",
        ),
        ("20,3", "global", "3: gpt-5.2 is global provisioned with at least 15 units, in steps of 5; nearest is 15"),
        ("75", "regional", "75: gpt-5.2 is regional provisioned with at least 50 units, in steps of 50; nearest is 50"),
    ],
)
def test_a_count_that_cannot_be_had_names_those_that_can(
    units: str, geography: str, said: str, traffic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulated(traffic, units, "--geography", geography) == 1
    assert f"--units {said}" in capsys.readouterr().err
