"""What a gateway process knows of its upstreams, as metrics: a series for each, whatever snapshots come and go."""

from collections.abc import Collection
from typing import Protocol

from entrepot.core.metrics import Labels, Measured, Metric, Report

_LABELS = ("entrepot_upstream",)
ATTEMPTS = Metric(
    "entrepot_upstream_attempts_total", "counter", "Requests sent, or to be sent, to an upstream.", _LABELS
)
FAILURES = Metric(
    "entrepot_upstream_failures_total", "counter", "Attempts that failed by the upstream's fault.", _LABELS
)
FULL = Metric("entrepot_upstream_full_total", "counter", "Times an upstream had as many requests as it may.", _LABELS)
IN_FLIGHT = Metric("entrepot_upstream_requests_open", "gauge", "Requests that are at an upstream.", _LABELS)
AVAILABLE = Metric(
    "entrepot_upstream_available",
    "gauge",
    "Whether an upstream is asked: not ejected, and no pause.",
    _LABELS,
    joined="min",
)


class _Health(Protocol):
    @property
    def is_available(self) -> bool: ...


class Endpoint(Protocol):
    """An upstream, or one place of it, as routing keeps count of it."""

    upstream: str
    started: int
    failed: int
    full: int
    in_flight: int

    @property
    def health(self) -> _Health:
        """Whether it is fit to be asked."""
        ...


class UpstreamCounts:
    """Adds up the endpoints of each upstream; those that a new snapshot forgets still count."""

    def __init__(self) -> None:
        self._known: dict[Endpoint, tuple[int, int, int]] = {}
        self._gone: dict[str, list[int]] = {}

    def report(self, endpoints: Collection[Endpoint]) -> Report:
        """What is known now. endpoints: those that are served from."""
        self._follow(endpoints)
        counts = {(upstream,): list(numbers) for upstream, numbers in self._gone.items()}
        in_flight: dict[Labels, list[int]] = {}
        available: dict[Labels, list[int]] = {}
        for endpoint in endpoints:
            labels = (endpoint.upstream,)
            numbers = counts.setdefault(labels, [0, 0, 0])
            counts[labels] = [one + more for one, more in zip(numbers, self._known[endpoint], strict=True)]
            in_flight[labels] = [in_flight.get(labels, [0])[0] + endpoint.in_flight]
            available[labels] = [min(available.get(labels, [1])[0], int(endpoint.health.is_available))]
        return (
            *(
                Measured(metric, {labels: [numbers[at]] for labels, numbers in counts.items()})
                for at, metric in enumerate((ATTEMPTS, FAILURES, FULL))
            ),
            Measured(IN_FLIGHT, in_flight),
            Measured(AVAILABLE, available),
        )

    def _follow(self, endpoints: Collection[Endpoint]) -> None:
        """Remembers what the endpoints have counted, and keeps that of those that are there no more."""
        now = {endpoint: (endpoint.started, endpoint.failed, endpoint.full) for endpoint in endpoints}
        for endpoint, numbers in self._known.items():
            if endpoint not in now:
                gone = self._gone.setdefault(endpoint.upstream, [0, 0, 0])
                self._gone[endpoint.upstream] = [one + more for one, more in zip(gone, numbers, strict=True)]
        self._known = now
