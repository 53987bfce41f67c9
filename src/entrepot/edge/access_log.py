"""One line for each request that has ended: who, what, how, how much and how long; never a word of prompt or answer."""

from collections.abc import Callable
from typing import Literal

from entrepot.core.periods import SECOND, Instant, format_instant
from entrepot.edge.access_line import Line, as_json, as_text
from entrepot.edge.inference_call import InferenceCall, outcome_of
from entrepot.ports.batches import BatchSink

Form = Literal["json", "text"]

_LINES_TOGETHER = 512
_UNTOLD = frozenset({"healthz", "readyz", "metrics"})  # Kinds of routes that machines ask for every few seconds.


class AccessLog:
    """Gathers lines; flush hands them on, to be called a few times a second."""

    def __init__(self, sink: BatchSink, form: Form) -> None:
        self.sink = sink
        self._encode: Callable[[Line], bytes] = as_json if form == "json" else as_text
        self._lines: list[bytes] = []
        self._second = -1
        self._prefix = ""

    def note(self, call: InferenceCall) -> None:
        """Writes the line of a request that has ended."""
        found = call.found
        if found is not None and found.route.kind in _UNTOLD:
            return
        marks = call.marks
        line = Line(
            time=self._time(call.at),
            event="request_ended",
            request_id=call.id,
            route="none" if found is None else found.route.path,
            status=call.status,
            took_us=max(0, call.ended_at - call.at),
            client_request_id="" if marks is None else marks.id,
            trace_id=call.trace_id or ("" if marks is None or marks.parent is None else marks.parent.trace_id),
            error=call.error,
        )
        if call.admitted is not None:
            _tell_admitted(line, call)
        self._lines.append(self._encode(line))
        if len(self._lines) >= _LINES_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Hands on what has been gathered."""
        lines, self._lines = self._lines, []
        if lines:
            self.sink.offer(b"\n".join([*lines, b""]), len(lines))

    def _time(self, at: Instant) -> str:
        """RFC 3339; what precedes the point is the same for all requests of a second."""
        second, rest = divmod(at, SECOND)
        if second != self._second:
            self._second = second
            self._prefix = format_instant(second * SECOND)[:-1]
        return f"{self._prefix}.{rest:06d}Z"


def _tell_admitted(line: Line, call: InferenceCall) -> None:
    admitted, usage = call.admitted, call.usage
    assert admitted is not None
    line.outcome = outcome_of(call)
    line.customer = admitted.customer
    line.project = admitted.project
    line.deployment = admitted.deployment
    line.model = admitted.model
    line.upstream = admitted.upstream
    line.tier = admitted.tier
    line.key_id = admitted.key
    if call.first_at:
        line.first_us = max(0, call.first_at - call.at)
    if usage is not None:
        line.source = usage.source
        if usage.tier != admitted.tier:
            line.tier, line.admitted_tier = usage.tier, admitted.tier
        line.meters = usage.meters
        line.upstream_us = max(0, usage.finished_at - call.at)
        line.flush_us = max(0, call.ended_at - usage.finished_at)
