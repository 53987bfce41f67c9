"""Which requests are recorded as traces, and their spans on the way to a collector.

The id of a trace that begins here is the id of the request. Ids of spans follow from it, so nothing is left to chance.
Source: W3C Trace Context; OpenTelemetry "ParentBased" and "TraceIdRatioBased" samplers.
"""

from collections.abc import Callable
from hashlib import blake2b
from zlib import crc32

from entrepot.core.periods import Instant
from entrepot.edge.inference_call import InferenceCall
from entrepot.edge.otlp_json import Resource, enveloped, spans_of
from entrepot.edge.request_marks import Parent
from entrepot.flows.serve_inference.stages import Stages
from entrepot.ports.batches import BatchSink

_SPANS_TOGETHER = 512


class Tracer:
    """Gathers spans; flush hands them on, a few times a second. share: of the requests that are in no trace yet."""

    def __init__(self, share: float, sink: BatchSink, resource: Resource) -> None:
        self.sink = sink
        self._limit = int(share * 2**32)
        self._resource = resource
        self._spans: list[bytes] = []

    def records(self, request_id: str, parent: Parent | None) -> bool:
        """Whether the request is recorded: as whoever asks decided for the whole trace, else a share of all."""
        return crc32(request_id.encode()) < self._limit if parent is None else parent.sampled

    def note(self, call: InferenceCall, provider: str) -> None:
        """Makes the spans of a recorded request that has ended. provider: who makes its model."""
        self._spans.extend(spans_of(call, span_id, provider))
        if len(self._spans) >= _SPANS_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Hands on what has been gathered."""
        spans, self._spans = self._spans, []
        if spans:
            self.sink.offer(enveloped(self._resource, spans), len(spans))


def begin_stages(call: InferenceCall, tracer: Tracer | None, now: Callable[[], Instant]) -> Stages | None:
    """Where the request's turns are noted, or None when nobody wants to know. Says in the call if it is recorded."""
    marks = call.marks
    parent = None if marks is None else marks.parent
    if tracer is not None and tracer.records(call.id, parent):
        call.trace_id = trace_id = call.id if parent is None else parent.trace_id
        return Stages(now, lambda number: f"00-{trace_id}-{span_id(call.id, number)}-01")
    if parent is not None:
        text = f"00-{parent.trace_id}-{parent.span_id}-{parent.sampled:02x}"
        return Stages(now, lambda _: text)
    return Stages(now, None) if marks is not None and marks.timed else None


def span_id(request_id: str, number: int) -> str:
    """The id in hex of a span of the request: 0 for the request itself, then its attempts; below 0 its own stages."""
    return blake2b(f"{request_id}/{number}".encode(), digest_size=8).hexdigest()
