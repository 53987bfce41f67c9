"""One request from its admission to its usage record, as its upstream, its client and the usage log tell it."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from entrepot.core.errors import EntrepotError, UpstreamFailed
from entrepot.core.log_records import Admitted
from entrepot.core.usage_event import Outcome, Source, UsageEvent
from entrepot.dialects import openai
from entrepot.dialects.answers import Said
from entrepot.dialects.asked import Asked
from entrepot.dialects.openai_usage import UsageMismatch
from entrepot.dialects.operations import OPERATIONS, Operation
from entrepot.metering.usage_writer import UsageWriter, log_unavailable
from entrepot.relay import sse
from entrepot.relay.attempt import Attempt, Failure, Outlet
from entrepot.relay.bytes_tap import BytesTap
from entrepot.relay.destination import redact
from entrepot.relay.failures import error_of, unreachable
from entrepot.relay.http1 import AnswerHead
from entrepot.relay.upstream import Way
from entrepot.relay.usage_tap import StreamTap
from entrepot.routing.plan import Avoided


class Client(Protocol):
    """The client's side of one request, as the edge shapes it. A request ends with one of the calls marked *.

    admitted: set once the request may have reached an upstream; usage: once it was recorded.
    """

    admitted: Admitted | None
    usage: UsageEvent | None

    def answer(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        """* A whole answer, as the upstream wrote it."""
        ...

    def open_stream(self, media_type: str = "") -> Callable[[bytes], None] | None:
        """Events follow, or bytes of the media type. What takes HTTP chunks of them as they are, if the client does."""
        ...

    def send(self, events: bytes) -> None:
        """Whole events, as the upstream wrote them."""
        ...

    def end_stream(self, events: bytes) -> None:
        """* The last events."""
        ...

    def refuse(self, error: EntrepotError) -> None:
        """* An error of our own, before anything was sent."""
        ...

    def relay_error(self, status: int, error: openai.UpstreamError, retry_after: bytes) -> None:
        """* An error of the upstream's, before anything was sent."""
        ...

    def break_stream(self, error: EntrepotError) -> None:
        """* An error of our own, among the events."""
        ...

    def left(self, outcome: Outcome) -> None:
        """* Nothing: it is gone, and what is to be recorded has been."""
        ...

    @property
    def cache_control(self) -> bytes:
        """What the client says of answers that were kept (RFC 9111), or b""."""
        ...

    def tell_cache(self, status: str, age_s: int | None = None) -> None:
        """To be said in the head of the answer: whether it was kept, and since when."""
        ...


class Shared:
    """What the exchanges of a process have in common. mismatches: usage objects that did not sum up."""

    def __init__(self, usage: UsageWriter) -> None:
        self.usage = usage
        self.avoided = Avoided()
        self.streams: set[Exchange] = set()
        self.mismatches = 0


NewTap = Callable[[bytes], StreamTap | None]
NOTHING_ELSE: dict[str, int] = {}


def _taps(operation: Operation, *, drop_usage: bool) -> NewTap:
    """What makes the tap for an answer of a media type, if it is one to relay as it comes."""
    answers = operation.answers

    def new_tap(media_type: bytes) -> StreamTap | None:
        if media_type == sse.MEDIA_TYPE:
            return StreamTap(
                marks=answers.marks,
                read=answers.event,
                drop_usage=drop_usage,
                event_bytes_max=answers.event_bytes_max,
            )
        return BytesTap() if answers.relays_bytes and media_type != b"application/json" else None

    return new_tap


_USAGE_KEPT = {name: _taps(row, drop_usage=False) for name, row in OPERATIONS.items()}
_USAGE_DROPPED = {name: _taps(row, drop_usage=True) for name, row in OPERATIONS.items()}


class Exchange:
    """One request from the moment it may go upstream; the taker of its attempts."""

    __slots__ = (
        "_admitted", "_asked", "_attempt", "_body", "_client", "_ended", "_error", "_head", "_new_tap",
        "_operation", "_reported", "_sent", "_shared", "_then", "_tried", "_way", "_ways",
    )  # fmt: skip

    _attempt: Attempt
    _way: Way
    _head: AnswerHead
    _then: Callable[[], None]
    _error: EntrepotError

    def __init__(
        self,
        shared: Shared,
        client: Client,
        asked: Asked,
        operation: Operation,
        ways: Sequence[Way],
        admitted: Admitted,
    ) -> None:
        self._shared = shared
        self._client = client
        self._asked: Asked | None = asked  # Let go of when the answer begins.
        # Usage that only we asked for is not shown to the client.
        taps = _USAGE_KEPT if asked.wants_usage or not asked.stream else _USAGE_DROPPED
        self._new_tap = taps[operation.name]
        self._operation = operation
        self._ways = ways
        self._tried = 0
        self._admitted = admitted
        self._sent = False  # The admission is written, and the request may have reached an upstream.
        self._ended = False  # The last record is made; at most its way to the disk is still awaited.
        self._body = b""
        self._reported = 0

    # ---- to an upstream

    def try_next_way(self) -> None:
        """Begins an attempt at the next upstream, or refuses when none is left."""
        if self._tried == len(self._ways):
            self._ended = True
            self._client.refuse(unreachable())
            return
        self._way = way = self._ways[self._tried]
        self._tried += 1
        self._attempt = Attempt(way.lane, self, self._new_tap)
        self._attempt.start()

    def next_request(self) -> bytes | None:
        """The upstream's request, its admission being written; None when the log has become unavailable meanwhile."""
        asked = self._asked
        assert asked is not None
        if not self._sent:
            if not self._shared.usage.available:
                self._ended = True
                self._client.refuse(log_unavailable())
                return None
            if self._admitted.upstream != self._way.upstream:
                self._admitted = msgspec.structs.replace(self._admitted, upstream=self._way.upstream)
            self._shared.usage.admit(self._admitted)
            self._client.admitted = self._admitted
            self._sent = True
        body = asked.write(self._way.model, self._admitted.project)
        return self._way.destination.request(self._operation.path, self._admitted.id, body, asked.media_type)

    # ---- its answer

    def stream_begins(self, head: AnswerHead) -> Outlet:
        """The client's side of the stream, opened."""
        self._asked = None
        self._shared.streams.add(self)
        media_type = head.content_type if self._operation.answers.relays_bytes else ""
        send_chunk = self._client.open_stream(media_type)
        return Outlet(self._client.send, send_chunk)

    def stream_ended(self, tap: StreamTap) -> None:
        """Settles; what the tap holds of the stream's end is sent once that is done."""
        outcome = openai.outcome_of(tap.finish)
        counted = None if outcome == "upstream_failed" else tap.counted
        self._settle(tap.usage, counted, outcome, self._end_stream, tap.also)

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """Settles; the answer is sent once that is done. A refusal used nothing, unless it says otherwise."""
        self._head, self._body = head, body
        answers = self._operation.answers
        said = answers.whole(body) if head.status < 300 else openai.read_answer(body)
        if said is None and answers.may_be_text and head.media_type.startswith(b"text/"):
            said = Said()
        if head.status >= 300:
            self._settle(said.usage if said else b"", None, openai.outcome_of_refusal(body), self._send_refusal)
        elif said is None:
            self._give_up(UpstreamFailed("The upstream's answer is not JSON."), answered=True)
        else:
            outcome = openai.outcome_of(said.finish)
            counted = None if outcome == "upstream_failed" else 0 if said.usage else answers.count(body)
            self._settle(said.usage, counted, outcome, self._send_answer, said.also)

    def failed(self, failure: Failure) -> None:
        """Tries the next target if this one cannot have got the request; else the request ends here."""
        if failure.reason == "unreachable":
            self._shared.avoided.add(self._way.upstream, self._shared.usage.now(self._admitted))
            if not failure.sent:
                self.try_next_way()
                return
        self._give_up(error_of(failure), answered=failure.answered)

    # ---- from the client, and from the clock

    def pause(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        self._attempt.pause(paused)

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone, or this process stops: so does the upstream, and what was used is recorded."""
        self._then = _nothing
        if not self._ended:
            self._attempt.cancel()
            self._record_unfinished(outcome, answered=self._attempt.has_answered)
        self._client.left(outcome)

    def report_progress(self) -> None:
        """Writes how many output tokens have been relayed, when there are more than last time."""
        tap = self._attempt.tap
        if tap is not None and tap.counted != self._reported:
            self._reported = tap.counted
            self._shared.usage.progress(self._admitted, tap.counted)

    # ---- how it ends

    def _give_up(self, error: EntrepotError, *, answered: bool) -> None:
        """Ends a request whose upstream failed, or at whose end something of ours did."""
        self._error = error
        self._then = self._send_error
        if self._ended or not self._record_unfinished("upstream_failed", answered=answered):
            self._settled()

    def _record_unfinished(self, outcome: Outcome, *, answered: bool) -> bool:
        """Whether usage is being settled: it was reported already. If not, what was counted is left to be resolved."""
        tap = self._attempt.tap
        if tap is not None and tap.final_usage:
            self._settle(tap.final_usage, None, outcome, self._then)
            return True
        self._ended = True
        self._shared.streams.discard(self)
        if self._sent:
            counted = 0 if tap is None else tap.counted
            self._shared.usage.abandon(self._admitted, outcome, answered=answered, output_tokens=counted)
        return False

    def _settle(
        self,
        usage: bytes,
        counted: int | None,
        outcome: Outcome,
        then: Callable[[], None],
        also: dict[str, int] = NOTHING_ELSE,
    ) -> None:
        """Makes the usage durable, and only then does what ends the request.

        counted: what of the answer we counted ourselves, for an upstream that reports none; None when nothing was
        served. also: by meter, what was used beside the usage object.
        """
        self._ended = True
        self._then = then
        self._shared.streams.discard(self)
        meters: dict[str, int] = {}
        source: Source = "reported"
        if usage:
            try:
                meters = self._operation.answers.meters_of(usage)
            except UsageMismatch:  # Raw usage without meters goes to quarantine, where it is seen; nobody guesses.
                self._shared.mismatches += 1
        elif counted is not None:
            source = "counted"
            admitted = self._admitted
            meters = self._operation.answers.book(admitted.counts, admitted.prompt_tokens_estimate, counted)
        if also and meters:
            meters = dict(sorted((meters | also).items()))
        self._client.usage = self._shared.usage.settle(
            self._admitted,
            meters,
            source=source,
            outcome=outcome,
            raw=usage,
            done=self._settled,
            failed=self._not_settled,
        )

    def _settled(self) -> None:
        then, self._then = self._then, _nothing
        then()

    def _not_settled(self) -> None:
        """The usage is owed to the log; the client is not given the end of an answer that may yet be lost."""
        if self._then is not _nothing:
            self._error = log_unavailable()
            self._send_error()

    def _send_answer(self) -> None:
        if self._operation.answers.may_be_text:
            self._client.answer(self._head.status, self._body, self._head.content_type)
        else:
            self._client.answer(self._head.status, self._body)

    def _end_stream(self) -> None:
        tap = self._attempt.tap
        self._client.end_stream(tap.held if tap is not None else b"")

    def _send_refusal(self) -> None:
        """The upstream's error in the client's dialect; where our own key or request is at fault, ours."""
        status = self._head.status
        if status < 400 or status in {401, 403}:
            self._client.refuse(UpstreamFailed(f"The upstream refused the gateway itself (status {status})."))
            return
        error = openai.read_error(self._body)
        error = msgspec.structs.replace(error, message=redact(error.message, self._way.destination.secrets))
        self._client.relay_error(status, error, self._head.field(b"retry-after"))

    def _send_error(self) -> None:
        if self._attempt.tap is None:
            self._client.refuse(self._error)
        else:
            self._client.break_stream(self._error)


def _nothing() -> None:
    """What is done when the client is gone."""
