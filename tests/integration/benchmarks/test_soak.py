"""The soak in short: half a minute of everything, and every request metered exactly once."""

import json
from pathlib import Path

from benchmarks import soak
from benchmarks.gateway.soaking.mixture import mixture


def test_half_a_minute_of_everything_is_metered_once_and_leaks_nothing(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    status = soak.main(["--seconds", "25", "--slice", "6", "--streams", "40", "--share", "0.4", "--json", str(out)])
    record = json.loads(out.read_text())
    assert record["faults"] == []
    assert status == 0
    metered = record["metered_once"]
    assert metered.keys() == {"answered", "aborted", "failed", "refused"}
    strangers = sum(1 for ingredient in mixture(40) if ingredient.stranger)
    assert strangers == 1
    assert sum(metered.values()) > 1000
    assert record["swaps"] > len(record["slices"]) >= 3
    assert "metered exactly once" in out.with_suffix(".md").read_text()
