"""Counts of several processes in files: each tells for all, and nothing that was counted is lost or told twice."""

from pathlib import Path

from entrepot.adapters.metric_files import MetricFiles
from entrepot.core.metrics import Measured, Metric, Report, alone, together

SERVED = Metric("served_total", "counter", "Served.", ("status",))
OPEN = Metric("open", "gauge", "Open.")


def counted(served: int, opened: int = 1) -> Report:
    return (Measured(SERVED, {("200",): [served]}), alone(OPEN, opened))


def told(board: MetricFiles) -> dict[str, int]:
    """{name: value} as a scrape of this process would have it."""
    found = {measured.metric.name: measured.values for measured in together(board.gather())}
    return {name: next(iter(values.values()))[0] for name, values in found.items()}


def test_each_process_tells_for_all(tmp_path: Path) -> None:
    one, other = MetricFiles(tmp_path, "one"), MetricFiles(tmp_path, "other")
    one.publish(counted(3))
    other.publish(counted(4, opened=5))
    one.publish(counted(10))
    assert told(one) == told(other) == {"served_total": 14, "open": 6}


def test_what_a_process_that_is_gone_has_counted_stays_and_what_it_had_open_does_not(tmp_path: Path) -> None:
    one, other = MetricFiles(tmp_path, "one"), MetricFiles(tmp_path, "other")
    one.publish(counted(3))
    other.publish(counted(4))
    other.close()
    assert told(one) == {"served_total": 7, "open": 1}


def test_a_new_process_takes_in_those_that_are_gone_and_nothing_is_told_twice(tmp_path: Path) -> None:
    for number in range(5):
        board = MetricFiles(tmp_path, f"life-{number}")
        board.publish(counted(10))
        assert told(board) == {"served_total": 10 * (number + 1), "open": 1}
        board.close()
    last = MetricFiles(tmp_path, "last")
    assert told(last) == {"served_total": 50}
    assert [path.name for path in tmp_path.glob("*.metrics")] == []


def test_one_killed_between_taking_in_and_removing_does_no_harm(tmp_path: Path) -> None:
    gone = MetricFiles(tmp_path, "gone")
    gone.publish(counted(10))
    left = (tmp_path / "gone.metrics").read_bytes()
    gone.close()
    MetricFiles(tmp_path, "next").close()
    (tmp_path / "gone.metrics").write_bytes(left)  # As it was before it was removed.
    last = MetricFiles(tmp_path, "last")
    assert told(last) == {"served_total": 10}
    assert [path.name for path in tmp_path.glob("*.metrics")] == []


def test_a_file_that_cannot_be_read_costs_its_own_counts_only(tmp_path: Path) -> None:
    one = MetricFiles(tmp_path, "one")
    one.publish(counted(3))
    (tmp_path / "torn.metrics").write_bytes(b"")
    assert told(one) == {"served_total": 3, "open": 1}
    assert told(MetricFiles(tmp_path, "next")) == {"served_total": 3, "open": 1}
