"""What a gateway process counts, and under which names: integers added up by hand, no customer ever a label.

Names, units and buckets are OpenTelemetry's where it has one, written as Prometheus writes them
(gen_ai.server.request.duration in s -> gen_ai_server_request_duration_seconds); else entrepot_….
Source: OpenTelemetry semantic conventions 1.37, "Generative AI metrics"; "Prometheus and OpenMetrics compatibility".
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from entrepot.core.counting import Histogram, Totals
from entrepot.core.metrics import Labels, Measured, Metric, Report
from entrepot.core.tokens import TOKEN_METERS

SERIES_MAX = 100
OTHER = "other"  # What has no series of its own any more.

_US = 1_000_000
OPERATIONS = {"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}  # As OpenTelemetry does.
_SERVED = ("gen_ai_operation_name", "gen_ai_request_model", "gen_ai_provider_name", "entrepot_upstream")
# Where each bound is a power of two times the one before, a core.counting.Histogram counts.
_SECONDS_FIRST, _SECONDS_BUCKETS = 10_000, 14
_SECONDS = tuple(_SECONDS_FIRST << n for n in range(_SECONDS_BUCKETS))
_FIRST_TOKEN_SECONDS = tuple(
    int(seconds * _US)
    for seconds in (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
)
_PER_TOKEN_SECONDS = tuple(
    int(seconds * _US) for seconds in (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
)
_FLUSH_FIRST, _FLUSH_BUCKETS = 100, 16
_FLUSH_SECONDS = tuple(_FLUSH_FIRST << n for n in range(_FLUSH_BUCKETS))
_TOKENS_BUCKETS = 14
_TOKENS_DOUBLINGS = 2
_TOKENS = tuple(1 << _TOKENS_DOUBLINGS * n for n in range(_TOKENS_BUCKETS))
_GIVEN_OUT: Final = {meter: meter.endswith(("output_tokens", "reasoning_tokens")) for meter in TOKEN_METERS}


def _histogram(name: str, text: str, labels: Labels, bounds: tuple[int, ...]) -> Metric:
    return Metric(name, "histogram", text, labels, unit="s", per=_US, bounds=bounds)


REQUESTS = Metric("entrepot_requests_total", "counter", "Answers begun, by route and status.", ("route", "status"))
ERRORS = Metric("entrepot_errors_total", "counter", "Errors of the gateway's own, by code.", ("code",))
ENDED = Metric("entrepot_requests_ended_total", "counter", "Admitted requests, by how they ended.", ("outcome",))
DURATION = _histogram(
    "gen_ai_server_request_duration_seconds",
    "From a request to the last byte of its answer.",
    (*_SERVED, "error_type"),
    _SECONDS,
)
FIRST_TOKEN = _histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "From a request to the first event of its stream.",
    _SERVED,
    _FIRST_TOKEN_SECONDS,
)
PER_TOKEN = _histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "Of a stream, between two output tokens after the first.",
    _SERVED,
    _PER_TOKEN_SECONDS,
)
TOKENS = Metric(
    "gen_ai_client_token_usage",
    "histogram",
    "Tokens of a request, as billed.",
    (*_SERVED, "gen_ai_token_type"),
    unit="{token}",
    bounds=_TOKENS,
)
FLUSH_WAIT = _histogram(
    "entrepot_usage_flush_wait_seconds", "What the end of an answer waited for the usage log.", (), _FLUSH_SECONDS
)
USAGE = Metric("entrepot_usage_units_total", "counter", "Units settled, by meter.", ("meter",))
STREAMS = Metric("entrepot_streams_open", "gauge", "Event streams being relayed.")
SESSIONS = Metric("entrepot_sessions_open", "gauge", "Realtime sessions.")
CONNECTIONS = Metric("entrepot_connections_open", "gauge", "Connections of clients.")
MISMATCHES = Metric("entrepot_usage_mismatches_total", "counter", "Usage that did not sum up.")
OWED = Metric("entrepot_usage_owed", "gauge", "Usage records that the log did not take yet.")
LOG_AVAILABLE = Metric("entrepot_usage_log_available", "gauge", "Whether usage can be written.", joined="min")
SNAPSHOT_AGE = Metric(
    "entrepot_snapshot_age_seconds",
    "gauge",
    "Since what is served from was published.",
    unit="s",
    per=_US,
    joined="max",
)
SNAPSHOT_VERSION = Metric("entrepot_snapshot_version", "gauge", "What is served from.", joined="min")
WORKERS = Metric("entrepot_gateway_workers", "gauge", "Gateway processes that serve.")
SPANS = Metric("entrepot_spans_total", "counter", "Spans that a collector has taken.")
SPANS_DROPPED = Metric("entrepot_spans_dropped_total", "counter", "Spans that no collector has taken.")
ACCESS_LINES = Metric("entrepot_access_log_lines_total", "counter", "Lines written to the access log.")
ACCESS_DROPPED = Metric("entrepot_access_log_lines_dropped_total", "counter", "Lines that could not be written.")
UNPUBLISHED = Metric(
    "entrepot_metrics_write_failures_total", "counter", "Times a process's counts could not be put where all can read."
)


def _seconds() -> Histogram:
    return Histogram(_SECONDS_FIRST, 1, _SECONDS_BUCKETS)


class _Answers:
    """The answers of one route. good: with the status 200, as nearly all; others: by status."""

    __slots__ = ("good", "others")

    def __init__(self) -> None:
        self.good = 0
        self.others: dict[int, int] = {}

    def by_status(self) -> list[tuple[int, int]]:
        """(status, how many)."""
        return [(200, self.good), *self.others.items()] if self.good else list(self.others.items())


class _Series:
    """What is counted of one model, operation and upstream. durations: of those without an error; failed: by error."""

    __slots__ = (
        "count_duration", "count_in", "count_out", "durations", "failed", "first_token", "labels", "model", "operation",
        "per_token", "tokens_in", "tokens_out", "upstream",
    )  # fmt: skip

    def __init__(self, operation: str, model: str, upstream: str, labels: Labels) -> None:
        self.operation = operation
        self.model = model
        self.upstream = upstream
        self.labels = labels
        self.durations = _seconds()
        self.failed: dict[str, Histogram] = {}
        self.first_token = FIRST_TOKEN.zeros()
        self.per_token = PER_TOKEN.zeros()
        self.tokens_in = Histogram(1, _TOKENS_DOUBLINGS, _TOKENS_BUCKETS)
        self.tokens_out = Histogram(1, _TOKENS_DOUBLINGS, _TOKENS_BUCKETS)
        # Bound once, for what every request calls; see decisions/0009.
        self.count_duration = self.durations.count
        self.count_in, self.count_out = self.tokens_in.count, self.tokens_out.count


class Tally:
    """What a process has counted since it began. errors: {code: n}."""

    __slots__ = (
        "_answers", "_count_end", "_count_flush_wait", "_ended", "_flush_wait", "_last", "_provider_of", "_series",
        "errors", "unpublished",
    )  # fmt: skip

    def __init__(self, provider_of: Callable[[str], str]) -> None:
        """provider_of: who makes a model."""
        self._provider_of = provider_of
        self._answers: dict[str, _Answers] = {}
        self.errors: dict[str, int] = {}
        self.unpublished = 0
        self._ended = Totals()
        self._flush_wait = Histogram(_FLUSH_FIRST, 1, _FLUSH_BUCKETS)
        self._count_end, self._count_flush_wait = self._ended.count, self._flush_wait.count
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._last: _Series | None = None  # Often the next one, which then needs no search.

    def answered(self, route: str, status: int) -> None:
        """An answer was begun."""
        answers = self._answers.get(route)
        if answers is None:
            answers = self._answers[route] = _Answers()
        if status == 200:
            answers.good += 1
        else:
            answers.others[status] = answers.others.get(status, 0) + 1

    def failed(self, code: str) -> None:
        """An error of our own was answered."""
        self.errors[code] = self.errors.get(code, 0) + 1

    def ended(self, operation: str, model: str, upstream: str, outcome: str, error: str, took_us: int) -> _Series:
        """The series of a request that was admitted and has ended, its end counted."""
        series = self._last
        if series is None or series.model != model or series.upstream != upstream or series.operation != operation:
            series = self._series.get((operation, model, upstream)) or self._new_series(operation, model, upstream)
            self._last = series
        self._count_end(outcome)
        if error:
            series.failed.setdefault(error, _seconds()).count(took_us)
        else:
            series.count_duration(took_us)
        return series

    def settled(self, series: _Series, waited_us: int, meters: dict[str, int]) -> int:
        """Counts what such a request used, and how long its end waited for the log. Returns its output tokens."""
        self._count_flush_wait(waited_us)
        taken, given = tokens_of(meters)
        if taken:
            series.count_in(taken)
        if given:
            series.count_out(given)
        return given

    def streamed(self, series: _Series, first_us: int, rest_us: int, tokens: int) -> None:
        """Counts a stream's pace. rest_us: from its first event to its last."""
        series.first_token[bisect_left(_FIRST_TOKEN_SECONDS, first_us)] += 1
        series.first_token[-1] += first_us
        if tokens > 1:
            each_us = rest_us // (tokens - 1)
            series.per_token[bisect_left(_PER_TOKEN_SECONDS, each_us)] += 1
            series.per_token[-1] += each_us

    def report(self) -> Report:
        """Everything counted here."""
        series = list(self._series.values())
        answers: dict[Labels, list[int]] = {
            (route, str(status)): [n] for route, counts in self._answers.items() for status, n in counts.by_status()
        }
        return (
            Measured(REQUESTS, answers),
            Measured(ERRORS, {(code,): [n] for code, n in self.errors.items()}),
            Measured(ENDED, {(outcome,): [n] for outcome, n in self._ended.numbers().items()}),
            Measured(
                DURATION,
                {(*one.labels, ""): one.durations.numbers() for one in series}
                | {(*one.labels, error): n.numbers() for one in series for error, n in one.failed.items()},
            ),
            Measured(FIRST_TOKEN, {one.labels: one.first_token for one in series if any(one.first_token)}),
            Measured(PER_TOKEN, {one.labels: one.per_token for one in series if any(one.per_token)}),
            Measured(
                TOKENS,
                {(*one.labels, "input"): one.tokens_in.numbers() for one in series}
                | {(*one.labels, "output"): one.tokens_out.numbers() for one in series},
            ),
            Measured(FLUSH_WAIT, {(): self._flush_wait.numbers()}),
            Measured(UNPUBLISHED, {(): [self.unpublished]}),
        )

    def _new_series(self, operation: str, model: str, upstream: str) -> _Series:
        """A series; the same for all that come when there are SERIES_MAX, so that neither memory nor a scrape grows."""
        key = (operation, model, upstream)
        if len(self._series) < SERIES_MAX:
            labels = (OPERATIONS.get(operation, operation), model, self._provider_of(model), upstream)
        else:
            key, labels = (OTHER, OTHER, OTHER), (OTHER, OTHER, OTHER, OTHER)
            if key in self._series:
                return self._series[key]
        found = self._series[key] = _Series(*key, labels)
        return found


def tokens_of(meters: dict[str, int]) -> tuple[int, int]:
    """(taken in, given out): the tokens of both sides, whatever they were."""
    taken = given = 0
    if len(meters) == 2:
        taken, given = meters.get("input_tokens", -1), meters.get("output_tokens", -1)
        if taken >= 0 and given >= 0:  # Nearly always.
            return taken, given
        taken = given = 0
    for meter, quantity in meters.items():
        side = _GIVEN_OUT.get(meter)
        if side:
            given += quantity
        elif side is not None:
            taken += quantity
    return taken, given
