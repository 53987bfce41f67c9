"""What is told of upstreams: added up over their places, and never falling when a snapshot forgets one."""

from dataclasses import dataclass, field

from entrepot.core.metrics import Labels, Metric
from entrepot.edge.upstream_metrics import ATTEMPTS, AVAILABLE, FAILURES, FULL, IN_FLIGHT, UpstreamCounts


@dataclass
class Fitness:
    is_available: bool = True


@dataclass(eq=False)
class Place:
    upstream: str
    started: int = 0
    failed: int = 0
    full: int = 0
    in_flight: int = 0
    health: Fitness = field(default_factory=Fitness)


def told(counts: UpstreamCounts, *places: Place) -> dict[Metric, dict[Labels, list[int]]]:
    return {measured.metric: dict(measured.values) for measured in counts.report(places)}


def test_places_of_one_upstream_add_up() -> None:
    found = told(UpstreamCounts(), Place("a", 5, 1, 0, 2), Place("a", 3, 0, 1, 1, Fitness(False)), Place("b", 1))
    assert found[ATTEMPTS] == {("a",): [8], ("b",): [1]}
    assert found[FAILURES] == {("a",): [1], ("b",): [0]}
    assert found[FULL] == {("a",): [1], ("b",): [0]}
    assert found[IN_FLIGHT] == {("a",): [3], ("b",): [0]}
    assert found[AVAILABLE] == {("a",): [0], ("b",): [1]}


def test_a_place_that_a_snapshot_forgets_still_counts_and_is_not_open() -> None:
    counts, first = UpstreamCounts(), Place("a", 5, 1, 0, 2)
    told(counts, first)
    found = told(counts, Place("b", 1))
    assert found[ATTEMPTS] == {("a",): [5], ("b",): [1]}
    assert found[IN_FLIGHT] == {("b",): [0]}
    again = told(counts, Place("a", 2))  # Another endpoint at the same place.
    assert again[ATTEMPTS] == {("a",): [7], ("b",): [1]}
