"""One curve in short: every point measured, a page and a chart written."""

import json
from pathlib import Path

import pytest

from benchmarks import curves

pytestmark = pytest.mark.timeout(480)  # Four starts of the product, on a machine that others may use.


def test_a_curve_has_all_its_points_a_page_and_a_chart(tmp_path: Path) -> None:
    out = tmp_path / "curves.json"
    assert curves.main(["--curves", "deployments", "--rounds", "1", "--window", "0.3", "--json", str(out)]) == 0
    (curve,) = json.loads(out.read_text())["curves"]
    assert [(found["line"], found["x"]) for found in curve["found"]] == [("entrepot", 10**n) for n in range(4)]
    assert all(found["cpu_us"]["median"] > 0 for found in curve["found"])
    assert "curves-deployments.svg" in out.with_suffix(".md").read_text()
    assert (tmp_path / "curves-deployments.svg").read_text().startswith("<svg")
