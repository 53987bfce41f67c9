"""The examples do what their pages say."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tree import PROGRAMS, ROOT

pytestmark = pytest.mark.timeout(480)  # Whole programs, one after the other.

STORY = ROOT / "examples" / "story"
MONTH = ROOT / "examples" / "month"


def ran(*words: object, **changes: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, cwd=ROOT, **changes
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def entrepot(home: Path, *words: object) -> Any:
    return json.loads(ran(PROGRAMS / "entrepot", *words, "--home", home, "--json"))


def generated(path: Path, records: int, seed: int = 1) -> list[dict[str, Any]]:
    ran(sys.executable, STORY / "generate.py", path, "--records", records, "--seed", seed)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_story_comes_out_as_reported(tmp_path: Path) -> None:
    text = ran(sys.executable, STORY / "run.py", "--records", 20_000, "--home", tmp_path / "home")
    assert "equal, rebuilt in" in text
    report = entrepot(tmp_path / "home", "report", "concentration", "--period", "2024-03")
    assert (report["revenue"], report["top_1_percent"]) == ("83021042.96", "24.12")
    assert [(one["group"], one["customers"]) for one in report["major_customers"]] == [("bytedance", ["tiktok"])]
    largest = report["customers"][0]
    assert (largest["customer"], largest["revenue"]) == ("tiktok", "20025324.51")
    millions = {one["customer"]: int(one["revenue"].split(".")[0]) // 10**6 for one in report["customers"]}
    assert all(2 <= millions[name] < 8 for name in ("walmart", "intuit", "g42"))
    assert report["run_rate"]["times_12"] == "996252515.52"
    page = (STORY / "README.md").read_text()
    assert "$20,025,324.51" in page
    assert "$83,021,042.96" in page


def test_the_storys_inputs_hold_tokens_and_prices_and_no_outcome() -> None:
    volumes = yaml.safe_load((STORY / "volumes.yaml").read_text())["customers"]
    for said in volumes.values():
        assert set(said) == {"shape", "use"}
        for use in said["use"]:
            assert set(use) == {"deployment", "model", "workload", "tokens"}


@pytest.mark.parametrize(("records", "seed"), [(400, 1), (5000, 2)])
def test_token_totals_do_not_depend_on_the_number_of_records(tmp_path: Path, records: int, seed: int) -> None:
    usage = generated(tmp_path / "usage.jsonl", records, seed)
    assert len(usage) == records
    totals: Counter[tuple[str, str]] = Counter()
    for one in usage:
        totals[one["customer"], one["deployment"]] += sum(one["meters"].values())
    volumes = yaml.safe_load((STORY / "volumes.yaml").read_text())["customers"]
    wanted = {(name, use["deployment"]): use["tokens"] for name, said in volumes.items() for use in said["use"]}
    assert totals == wanted


def test_the_storys_records_are_in_order_in_march_and_drawn_by_the_seed(tmp_path: Path) -> None:
    one, same, other = (generated(tmp_path / f"{n}.jsonl", 2000, seed) for n, seed in enumerate((1, 1, 2)))
    assert one == same
    assert one != other
    times = [record["admitted_at"] for record in one]
    assert times == sorted(times)
    assert times[0] >= "2024-03-01T00:00:00"
    assert max(record["finished_at"] for record in one) < "2024-04-01"
    ids = [record["id"] for record in one]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {record["id"] for record in other}


def test_the_month_is_imported_closed_and_verified(tmp_path: Path) -> None:
    home = tmp_path / "month"
    text = ran(MONTH / "run.sh", home, env={**os.environ, "ENTREPOT": str(PROGRAMS / "entrepot")})
    assert "2024-03 is closed: 20 invoices issued" in text
    assert "equal, rebuilt in" in text
    invoices = entrepot(home, "invoice", "list", "--period", "2024-03")["invoices"]
    assert len(invoices) == 20
    assert {one["currency"] for one in invoices} == {"USD", "EUR"}
    report = entrepot(home, "report", "concentration", "--period", "2024-03")
    assert report["major_customers"][0]["customers"] == ["meridian-bank", "meridian-cards"]
    again = entrepot(
        home,
        "usage",
        "import",
        ROOT / "examples" / "data" / "mooncake_conversation_trace.csv.gz",
        *("--trace", "mooncake", "--shift-to", "2024-03-12", "--deployment", "fernhill-ai/stacks"),
    )
    assert (again["duplicates"], again["booked"]) == (12_031, 0)
