"""An exchange that notes when it came to which point, and takes part in a trace; all others do not pay for it."""

from collections.abc import Callable
from typing import Any

from entrepot.flows.serve_inference.exchange import Exchange
from entrepot.flows.serve_inference.hedged_exchange import HedgedExchange
from entrepot.flows.serve_inference.stages import Stages
from entrepot.relay.attempt import Failure, Outlet
from entrepot.relay.http1 import AnswerHead
from entrepot.relay.usage_tap import StreamTap

_BEFORE = b"\r\nContent-Length: "  # Stands once in the head of a request of ours.


class TimedExchange(HedgedExchange):
    """The same exchange, with a look at the clock at each of its turns."""

    __slots__ = ("_stages",)

    _stages: Stages

    def note_in(self, stages: Stages) -> None:
        """Notes its turns there; to be called before it begins."""
        self._stages = stages
        stages.routed_at = stages.now()

    def next_request(self) -> bytes | None:
        """See relay.attempt.Taker."""
        request = super().next_request()
        if request is None:
            return None
        stages = self._stages
        attempt = stages.begin(self._way.upstream)
        if stages.parent is not None:
            parent = stages.parent(len(stages.attempts)).encode()
            request = request.replace(_BEFORE, b"\r\ntraceparent: " + parent + _BEFORE, 1)
        attempt.sent_at = stages.now()
        return request

    def stream_begins(self, head: AnswerHead) -> Outlet:
        """See relay.attempt.Taker."""
        self._stages.attempts[-1].head_at = self._stages.now()
        return super().stream_begins(head)

    def stream_ended(self, tap: StreamTap) -> None:
        """See relay.attempt.Taker."""
        self._stages.end(200)
        super().stream_ended(tap)

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """See relay.attempt.Taker."""
        self._stages.end(head.status)
        super().answered(head, body)

    def failed(self, failure: Failure) -> None:
        """See relay.attempt.Taker."""
        if not failure.sent:
            self._stages.begin(self._way.upstream)
        self._stages.end(0, failure.reason)
        super().failed(failure)


_make: Callable[..., TimedExchange] = TimedExchange


def timed(stages: Stages) -> Callable[..., Exchange]:
    """What makes an exchange that notes its turns there."""

    def made(*given: Any, **named: Any) -> Exchange:
        exchange = _make(*given, **named)
        exchange.note_in(stages)
        return exchange

    return made
