"""Charts that a person can read, and keys spread over all that there are."""

import xml.etree.ElementTree as ET

from benchmarks.gateway.chart import HEIGHT, WIDTH, chart
from benchmarks.gateway.sweeps import key_list, sweeps
from benchmarks.gateway.targets import KEY

SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_is_an_image_with_a_line_and_a_name_for_each() -> None:
    lines = {"a <b>": [(1.0, 10.0), (1000.0, 15.0)], "c": [(1.0, 5.0), (1000.0, 15.5)]}
    image = ET.fromstring(chart("title", "x", "y", lines))
    assert len(image.findall(f"{SVG}polyline")) == 2
    placed = {text.text: float(text.get("y", "0")) for text in image.findall(f"{SVG}text")}
    assert abs(placed["a <b>"] - placed["c"]) >= 13  # Names of lines that end at one height do not cover each other.
    assert {"title", "x", "y", "1", "1k", "0", "20"} <= placed.keys()
    for line in image.findall(f"{SVG}polyline"):
        points = [tuple(map(float, point.split(","))) for point in (line.get("points") or "").split()]
        assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in points)


def test_keys_are_spread_over_all() -> None:
    assert key_list(1, 64) == [KEY]
    spread = key_list(100_000, 64)
    assert (len(spread), len(set(spread))) == (64, 64)
    assert spread[-1].endswith(str(63 * (100_000 // 64)))


def test_the_curves_reach_as_far_as_they_say() -> None:
    ends = {name: (sweep.points[0].x, sweep.points[-1].x) for name, sweep in sweeps(1).items()}
    assert ends["body"] == (1, 1024)
    assert ends["tenants"] == (1, 100_000)
    assert ends["streams"] == (10, 5000)
