"""What several processes have counted, added up."""

from entrepot.core.metrics import Measured, Metric, alone, lasting, together

REQUESTS = Metric("requests_total", "counter", "Requests.", ("status",))
AGE = Metric("age", "gauge", "The oldest.", joined="max")
AVAILABLE = Metric("available", "gauge", "Whether all are.", joined="min")
TOOK = Metric("took", "histogram", "Time.", unit="s", per=10, bounds=(10, 20))


def test_counts_add_up_label_by_label_and_gauges_as_they_are_meant() -> None:
    one = (Measured(REQUESTS, {("200",): [3], ("404",): [1]}), alone(AGE, 7), alone(AVAILABLE, 1))
    other = (Measured(REQUESTS, {("200",): [4], ("500",): [2]}), alone(AGE, 5), alone(AVAILABLE, 0))
    assert tuple(together([one, other])) == (
        Measured(REQUESTS, {("200",): [7], ("404",): [1], ("500",): [2]}),
        alone(AGE, 7),
        alone(AVAILABLE, 0),
    )
    assert one[0].values[("200",)] == [3]  # Nothing that was handed in has changed.


def test_histograms_add_up_bucket_by_bucket() -> None:
    assert TOOK.zeros() == [0, 0, 0, 0]
    report = (Measured(TOOK, {(): [1, 2, 3, 60]}),)
    assert tuple(together([report, report])) == (Measured(TOOK, {(): [2, 4, 6, 120]}),)


def test_what_another_version_counts_otherwise_is_left_out() -> None:
    finer = Metric("took", "histogram", "Time.", unit="s", per=10, bounds=(5, 10, 20))
    found = tuple(together([(Measured(TOOK, {(): [1, 0, 0, 9]}),), (Measured(finer, {(): [1, 1, 1, 1, 9]}),)]))
    assert found == (Measured(TOOK, {(): [1, 0, 0, 9]}),)


def test_only_counts_outlast_their_process() -> None:
    report = (Measured(REQUESTS, {("200",): [3]}), alone(AGE, 7), Measured(TOOK, {(): [1, 0, 0, 9]}))
    assert lasting(report) == (report[0], report[2])


def test_what_another_version_says_in_other_words_adds_up() -> None:
    reworded = Metric("took", "histogram", "How long it took.", unit="s", per=10, bounds=(10, 20))
    found = tuple(together([(Measured(reworded, {(): [1, 0, 0, 9]}),), (Measured(TOOK, {(): [1, 1, 0, 19]}),)]))
    assert found == (Measured(reworded, {(): [2, 1, 0, 28]}),)
