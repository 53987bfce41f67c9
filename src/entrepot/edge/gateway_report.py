"""What a gateway process tells of itself, and of the whole machine to whoever asks for /metrics."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from itertools import chain, islice
from typing import NamedTuple

from entrepot.core.metrics import Measured, Report, alone, together
from entrepot.core.periods import Instant, parse_instant
from entrepot.core.usage_event import Outcome
from entrepot.edge import gateway_metrics as metrics
from entrepot.edge.access_log import AccessLog
from entrepot.edge.attempt_metrics import attempt_report
from entrepot.edge.cache_metrics import cache_report
from entrepot.edge.gateway_metrics import Tally
from entrepot.edge.inference_call import InferenceCall, outcome_of
from entrepot.edge.limit_metrics import limit_report
from entrepot.edge.prometheus_text import written
from entrepot.edge.tracing import Tracer
from entrepot.edge.upstream_metrics import UpstreamCounts
from entrepot.flows.serve_inference.flow import ServeInference
from entrepot.ports.metrics import MetricsBoard

_PIECES_A_TURN = 8  # Half a millisecond at most; requests are served between two turns.
_log = logging.getLogger("entrepot.gateway")


class Watchers(NamedTuple):
    """Where what happens is told, beside the counts: None for what is off."""

    board: MetricsBoard
    access_log: AccessLog | None = None
    tracer: Tracer | None = None


class GatewayReport:
    """Counts what ends, and tells it. tally: what is counted where it happens."""

    def __init__(self, flow: ServeInference, connections: Collection[object], watchers: "Watchers") -> None:
        self._flow = flow
        self._connections = connections
        self._board, self._access_log, self.tracer = watchers
        self._upstreams = UpstreamCounts()
        self.tally = Tally(self._provider_of)

    def ended(self, call: InferenceCall) -> None:
        """Counts a request that has ended, and tells of it; whatever fails there, the request does not."""
        try:
            self._tell(call)
        except Exception:  # noqa: BLE001 - who watches must not stand in the way: logged with the request's id
            _log.exception("request_not_told request_id=%s", call.id)

    def _tell(self, call: InferenceCall) -> None:
        if self._access_log is not None:
            self._access_log.note(call)
        if call.trace_id and self.tracer is not None:
            self.tracer.note(call, "" if call.admitted is None else self._provider_of(call.admitted.model))
        admitted = call.admitted
        if admitted is None or call.found is None:
            return
        usage = call.usage
        error = call.error or call.left_as or (str(call.status) if call.status >= 400 else "")
        operation, outcome = call.found.route.operation, outcome_of(call)
        tally = self.tally
        series = tally.ended(
            operation, admitted.model, admitted.upstream, outcome, error, max(0, call.ended_at - call.at)
        )
        if usage is not None:
            done_at = usage.finished_at
            tokens = tally.settled(series, max(0, call.ended_at - done_at), usage.meters)
            if call.first_at and not error:
                tally.streamed(series, max(0, call.first_at - call.at), max(0, done_at - call.first_at), tokens)

    def sweep(self) -> None:
        """Hands on what has been told since the last sweep."""
        if self._access_log is not None:
            self._access_log.flush()
        if self.tracer is not None:
            self.tracer.flush()

    def publish(self, at: Instant) -> None:
        """Puts what this process has counted where all can read it; what cannot be put there is counted, too."""
        self._publish(self._own(at))

    def written(self, at: Instant) -> Iterator[str]:
        """All that the processes of this machine have counted, as Prometheus reads it, in small pieces."""
        own = self._own(at)
        self._publish(own)
        try:
            reports = list(self._board.gather())
        except OSError as error:
            _log.error("metrics_of_others_unread reason=%s", error)
            reports = [own]
        return written(together(reports))

    def _provider_of(self, model: str) -> str:
        """Who makes a model, "" when nothing is served by it any more."""
        return self._flow.providers.get(model, "")

    def _own(self, at: Instant) -> Report:
        flow = self._flow
        upstreams = self._upstreams.report(flow.ways.fleet.endpoints.values())
        attempts = attempt_report(flow.shared)
        return (
            *self.tally.report(),
            *self._gauges(at),
            *upstreams,
            *attempts,
            *cache_report(flow.repeats),
            *limit_report(flow.desk.counts),
        )

    def _publish(self, report: Report) -> None:
        try:
            self._board.publish(report)
        except OSError as error:
            self.tally.unpublished += 1
            if self.tally.unpublished == 1:
                _log.error("metrics_not_published reason=%s", error)

    def _gauges(self, at: Instant) -> Report:
        flow, shared = self._flow, self._flow.shared
        told = [
            Measured(metrics.USAGE, {(meter,): [n] for meter, n in flow.usage.settled.items()}),
            alone(metrics.MISMATCHES, shared.mismatches),
            alone(metrics.WORKERS, 1),
            alone(metrics.STREAMS, len(shared.streams)),
            alone(metrics.SESSIONS, len(flow.sessions)),
            alone(metrics.CONNECTIONS, len(self._connections)),
            alone(metrics.OWED, flow.usage.owed),
            alone(metrics.LOG_AVAILABLE, int(flow.usage.available)),
        ]
        if self._access_log is not None:
            told.append(alone(metrics.ACCESS_LINES, self._access_log.sink.taken))
            told.append(alone(metrics.ACCESS_DROPPED, self._access_log.sink.dropped))
        if self.tracer is not None:
            told.append(alone(metrics.SPANS, self.tracer.sink.taken))
            told.append(alone(metrics.SPANS_DROPPED, self.tracer.sink.dropped))
        snapshot = flow.snapshot
        if snapshot is not None:
            told.append(alone(metrics.SNAPSHOT_AGE, at - parse_instant(snapshot.published_at)))
            told.append(alone(metrics.SNAPSHOT_VERSION, snapshot.version))
        return tuple(told)


class Scrape:
    """An answer that is put together a little at a time, since all else waits for each turn of the event loop."""

    def __init__(self, pieces: Iterator[str], reply: Callable[[bytes], None]) -> None:
        self._pieces = pieces
        self._reply = reply
        self._done: list[str] = []
        self._left = False

    def go_on(self) -> None:
        """Puts the next pieces together, or answers."""
        if self._left:
            return
        first = next(self._pieces, None)
        if first is None:
            self._reply("".join(self._done).encode())
        else:
            self._done.extend(chain([first], islice(self._pieces, _PIECES_A_TURN - 1)))
            asyncio.get_running_loop().call_soon(self.go_on)

    def pause(self, paused: bool) -> None:
        """The client is slow; nothing is sent to it before the end."""

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """Nobody waits for the rest."""
        del outcome
        self._left = True
