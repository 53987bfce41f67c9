"""Prometheus' text format, letter by letter."""

from entrepot.core.metrics import Measured, Metric, alone
from entrepot.edge.prometheus_text import written


def text(*report: Measured) -> list[str]:
    return "".join(written(report)).splitlines()


def test_counters_and_gauges() -> None:
    requests = Metric("requests_total", "counter", "Requests.", ("route", "status"))
    assert text(
        Measured(requests, {("/b", "200"): [2], ("/a", "404"): [1]}), alone(Metric("age", "gauge", "Age."), 5)
    ) == [
        "# HELP requests_total Requests.",
        "# TYPE requests_total counter",
        'requests_total{route="/a",status="404"} 1',
        'requests_total{route="/b",status="200"} 2',
        "# HELP age Age.",
        "# TYPE age gauge",
        "age 5",
    ]


def test_histograms_are_cumulative_and_in_their_unit() -> None:
    took = Metric(
        "took_seconds", "histogram", "Time.", ("model",), unit="s", per=1_000_000, bounds=(1_000, 20_000, 3_000_000)
    )
    assert text(Measured(took, {("m",): [2, 0, 1, 4, 12_345_678]}))[2:] == [
        'took_seconds_bucket{model="m",le="0.001"} 2',
        'took_seconds_bucket{model="m",le="0.02"} 2',
        'took_seconds_bucket{model="m",le="3"} 3',
        'took_seconds_bucket{model="m",le="+Inf"} 7',
        'took_seconds_sum{model="m"} 12.345678',
        'took_seconds_count{model="m"} 7',
    ]


def test_without_labels_there_are_no_braces_but_for_the_bounds() -> None:
    took = Metric("took", "histogram", "Time.", bounds=(1,))
    assert text(Measured(took, {(): [1, 0, 1]}))[2:] == [
        'took_bucket{le="1"} 1',
        'took_bucket{le="+Inf"} 1',
        "took_sum 1",
        "took_count 1",
    ]


def test_label_values_are_escaped_and_small_and_negative_values_exact() -> None:
    named = Metric("named", "gauge", "Named.", ("name",), per=1_000_000)
    assert text(Measured(named, {('a"b\\c\nd',): [-1]}))[2:] == [r'named{name="a\"b\\c\nd"} -0.000001']
