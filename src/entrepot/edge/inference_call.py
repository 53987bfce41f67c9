"""One request as its answer is shaped: in its client's dialect, with its id on every answer."""

import math
from collections.abc import Callable, Sequence

from entrepot.core.capacity import Standing
from entrepot.core.errors import EntrepotError, LimitReached
from entrepot.core.log_records import Admitted
from entrepot.core.periods import Instant
from entrepot.core.usage_event import Outcome, UsageEvent
from entrepot.dialects import openai
from entrepot.dialects.openai_wire import UpstreamError
from entrepot.dialects.service_tiers import with_tier
from entrepot.edge import error_bodies
from entrepot.edge.client_connection import ClientConnection
from entrepot.edge.cross_origin import OPEN_TO_PAGES, lets_pages_in
from entrepot.edge.deprecation_fields import deprecation_fields
from entrepot.edge.error_bodies import ErrorAnswer
from entrepot.edge.gateway_metrics import Tally
from entrepot.edge.http_answers import CLOSE, JSON, LAST_CHUNK, chunk, own_fields, stream_head, whole_answer, whole_head
from entrepot.edge.http_requests import RequestHead
from entrepot.edge.limit_fields import limit_fields, retry_fields, tier_fields
from entrepot.edge.request_marks import Marks
from entrepot.edge.routes import Found
from entrepot.edge.server_timing import timing_comment, timing_field
from entrepot.edge.websocket import accepting_head
from entrepot.flows.serve_inference.stages import Stages

_EVENTS = "text/event-stream"


class Desk:
    """What all calls of a process share. ended: is told of a request that has ended, its answer being complete or its
    client gone; region_of: where an upstream is, or ""; cost_of: (pico, currency) of what a request used, where its
    client may be told. draining: connections end with the answer they are at, and say so in its head; stopping: also
    those whose answer did not.
    """

    __slots__ = ("cost_of", "draining", "ended", "now", "region_of", "stopping", "tally")

    def __init__(
        self,
        *,
        now: Callable[[], Instant],
        tally: Tally,
        ended: Callable[["InferenceCall"], None],
        region_of: Callable[[str], str],
        cost_of: Callable[[UsageEvent], tuple[int, str] | None],
    ) -> None:
        self.now = now
        self.tally = tally
        self.ended = ended
        self.region_of = region_of
        self.cost_of = cost_of
        self.draining = self.stopping = False


class InferenceCall:
    """The client of a flow's exchange (flows.serve_inference.exchange), and answers of routes that need no exchange.

    found: the route, once it is; is_azure: the dialect of errors until then. status: 0 until the answer begins; error:
    the code of ours that it ended with; left_as: how, when its client has left. admitted, usage: what the flow wrote of
    it. Instants, 0 until then: head_at, when the head was written, and with it all of an answer but a stream; first_at,
    a stream's first event; ended_at. stages: its turns, where somebody wants to know; trace_id: of the trace it is
    recorded in, in hex.
    """

    __slots__ = (
        "_connection", "_desk", "_head", "_keep", "_not_chosen", "_queued", "_sends_events", "_served_by", "_standings",
        "_tier", "_told", "admitted", "at", "ended_at", "error", "finished", "first_at", "found", "head_at", "id",
        "is_azure", "left_as", "marks", "stages", "status", "trace_id", "usage",
    )  # fmt: skip

    def __init__(
        self, request_id: str, at: Instant, desk: Desk, connection: ClientConnection, head: RequestHead | None
    ) -> None:
        """head: None for bytes that are none, after which no other can be read."""
        self.id = request_id
        self.at = at
        self.finished = False
        self.found: Found | None = None
        self.is_azure = False
        self.status = 0
        self.error = ""
        self.left_as: Outcome | None = None
        self.admitted: Admitted | None = None
        self.usage: UsageEvent | None = None
        self.stages: Stages | None = None
        self.trace_id = ""
        self.head_at = self.first_at = self.ended_at = 0
        self._desk = desk
        self._connection = connection
        self._head = head
        self._told = ""  # Of the cache, of spillover, of
        self._queued = ""  # the time it waited, which is so wherever the request goes.
        self._tier = ""  # That an answer with a service_tier says it was served at,
        self._not_chosen = ""  # and why that is another than the one that was chosen.
        self._standings: Callable[[Instant], Sequence[Standing]] | None = None
        self._served_by = ""
        self._keep = False
        self._sends_events = True
        self.marks: Marks | None = None  # What the client said of its request.
        if head is not None:
            self._keep = head.keep_alive and not desk.draining
            self.marks = head.marks

    # ---- as the client of an exchange

    @property
    def cache_control(self) -> bytes:
        """What the client says of answers that were kept."""
        return b"" if self._head is None else self._head.field(b"cache-control")

    def tell_cache(self, status: str, age_s: int | None = None) -> None:
        """Whether the answer was kept, in its head."""
        age = "" if age_s is None else f"Age: {age_s}\r\n"
        self._told += f"x-entrepot-cache: {status}\r\n{age}"

    def tell_limits(self, standings: Callable[[Instant], Sequence[Standing]]) -> None:
        """How the limits stand, in its head."""
        self._standings = standings

    @property
    def spillover(self) -> str:
        """The deployment that the request names for when its own is too full."""
        return "" if self._head is None else self._head.field(b"x-ms-spillover-deployment").decode("latin-1")

    def tell_spillover(self, full: str, instead: str, failure: str = "") -> None:
        """That another deployment answers, in its head, in Azure's words."""
        failed = f"x-ms-spillover-error: {failure}\r\n" if failure else ""
        self._told = f"{self._queued}x-ms-spillover-from-deployment: {full}\r\n{failed}"
        self._served_by = full if failure else instead

    def tell_deprecation(self, since: Instant | None, retires_at: Instant | None) -> None:
        """That the model is deprecated, in its head."""
        self._told += deprecation_fields(since, retires_at)

    def tell_model(self, model: str) -> None:
        """Which model answers, in its head, in OpenAI's words."""
        self._told += f"openai-model: {model}\r\n"

    def tell_queued(self, waited_ms: int) -> None:
        """How long the request waited for its limits, in its head."""
        self._queued = f"x-entrepot-queued-ms: {waited_ms}\r\n"
        self._told += self._queued

    def tell_tier(self, used: str, why: str = "") -> None:
        """The tier of service it is billed at, in its head, and in its body where that has a service_tier."""
        self._tier, self._not_chosen = used, why

    def answer(self, status: int, body: bytes, media_type: str = JSON) -> None:
        """A whole answer."""
        self.reply(status, media_type, with_tier(body, self._tier) if self._tier and media_type == JSON else body)

    def open_stream(self, media_type: str = "") -> Callable[[bytes], None] | None:
        """The head of an event stream, or of a stream of the media type."""
        self._sends_events = not media_type or media_type.startswith(_EVENTS)
        self._count(200)
        chunked = self._takes_chunks
        if not chunked:
            self._keep = False
        write = self._connection.write
        fields = self._fields("" if self._keep or not chunked else CLOSE)
        write(stream_head(fields, chunked=chunked, media_type=media_type))
        return write if chunked and not self._tier else None

    def send(self, events: bytes) -> None:
        """Events of the stream."""
        if not self.first_at:
            self.first_at = self._desk.now()
        if self._tier and self._sends_events:
            events = with_tier(events, self._tier)
        self._connection.write(chunk(events) if self._takes_chunks else events)

    def end_stream(self, events: bytes) -> None:
        """The last events, and the end."""
        ended_at = self._desk.now()
        if self._tier and self._sends_events:
            events = with_tier(events, self._tier)
        if self.marks is not None and self.marks.timed and self._sends_events:
            events = timing_comment(self.at, self.stages, self.usage, ended_at, self._cost) + events
        if not self._takes_chunks:
            self._connection.write(events)
        else:
            self._connection.write(chunk(events) + LAST_CHUNK if events else LAST_CHUNK)
        self._finish(ended_at)

    def break_stream(self, error: EntrepotError) -> None:
        """An error among the events, which makes clients raise; then the connection ends without the stream's end."""
        self._fail(error)
        if self._sends_events:
            self.send(openai.error_event(error_bodies.openai_error(error).body))
        self._keep = False
        self._finish(self._desk.now())

    def refuse(self, error: EntrepotError) -> None:
        """An error of our own."""
        self._fail(error)
        shaped = error_bodies.azure_error(error) if self._speaks_azure else error_bodies.openai_error(error)
        if isinstance(error, LimitReached) and error.refusal is not None:
            self.reply_error(shaped, retry_fields(error.refusal))
        else:
            self.reply_error(shaped, retry_after_s=error.retry_after_s)

    def relay_error(self, status: int, error: UpstreamError, retry_after: bytes) -> None:
        """An error of the upstream's."""
        fields = f"Retry-After: {retry_after.decode()}\r\n" if retry_after.isdigit() else ""
        self.reply(*_as_json(error_bodies.upstream_error(status, error, is_azure=self._speaks_azure)), fields)

    def left(self, outcome: Outcome) -> None:
        """The client is gone, and the exchange has ended for it."""
        if not self.finished:
            self.finished = True
            self.left_as = outcome
            self.ended_at = self._desk.now()
            self._desk.ended(self)

    def switch(self, accept: bytes, protocol: bytes) -> None:
        """The head after which the connection is a WebSocket. The call ends when its session does, by left."""
        self._count(101)
        self._connection.write(accepting_head(accept, protocol, self._fields("")))

    # ---- as the answer of any route

    def close_after(self) -> None:
        """The connection ends with the answer, which says so."""
        self._keep = False

    def reply(self, status: int, media_type: str, body: bytes, fields: str = "") -> None:
        """A whole answer of any kind."""
        self._count(status)
        if not self._keep:
            fields += CLOSE
        fields = self._more_fields(fields)
        if self._wants_no_body:
            fields += own_fields(self.id, self._took_ms)
            answer = whole_head(status, media_type, len(body), fields)
        else:
            answer = whole_answer(status, media_type, fields, self.id, self._took_ms, body)
        self._connection.write(answer)
        self._finish(self.head_at)

    def reply_error(self, error: ErrorAnswer, fields: str = "", *, retry_after_s: float | None = None) -> None:
        """An error, with when to try again."""
        if retry_after_s is not None:
            fields += (
                f"Retry-After: {math.ceil(retry_after_s)}\r\nretry-after-ms: {math.ceil(retry_after_s * 1000)}\r\n"
            )
        self.reply(*_as_json(error), fields)

    @property
    def _takes_chunks(self) -> bool:
        return self._head is not None and self._head.takes_chunks

    @property
    def _wants_no_body(self) -> bool:
        return self._head is not None and self._head.method == b"HEAD"

    @property
    def _speaks_azure(self) -> bool:
        return self.is_azure if self.found is None else self.found.route.is_azure

    def _fail(self, error: EntrepotError) -> None:
        self.error = error.code
        self._desk.tally.failed(error.code)

    def _count(self, status: int) -> None:
        self.status = status
        self._desk.tally.answered("none" if self.found is None else self.found.route.path, status)

    def _fields(self, fields: str) -> str:
        """The header lines of every answer, behind the given ones."""
        return self._more_fields(fields) + own_fields(self.id, self._took_ms)

    @property
    def _took_ms(self) -> int:
        return max(0, self.head_at - self.at) // 1000

    def _more_fields(self, fields: str) -> str:
        """The header lines that only some answers have, behind the given ones. The head is written now."""
        found = self.found
        if self._served_by:
            fields += f"x-ms-deployment-name: {self._served_by}\r\n"
        elif found is not None and found.segment and found.route.kind == "inference":
            fields += f"x-ms-deployment-name: {found.segment.decode()}\r\n"
        if self.admitted is not None and self._speaks_azure:
            region = self._desk.region_of(self.admitted.upstream)
            fields += f"x-ms-region: {region}\r\n" if region else ""
        if self._told:
            fields += self._told
        if self._tier:
            fields += tier_fields(self._tier, self._not_chosen)
        self.head_at = now = self._desk.now()
        if self._standings is not None:
            fields += limit_fields(self._standings(now), is_azure=self._speaks_azure)
        if self.marks is not None:
            fields += self.marks.echo
            if self.marks.from_page and self._lets_pages_in:
                fields += OPEN_TO_PAGES
            if self.marks.timed:
                fields += timing_field(self.at, self.stages, self.usage, now, self._cost)
        return fields

    @property
    def _lets_pages_in(self) -> bool:
        return not self.is_azure if self.found is None else lets_pages_in(self.found.route)

    @property
    def _cost(self) -> tuple[int, str] | None:
        """(pico, currency) of what it used, where that is known and may be told."""
        return None if self.usage is None else self._desk.cost_of(self.usage)

    def _finish(self, at: Instant) -> None:
        self.finished = True
        self.ended_at = at
        self._desk.ended(self)
        self._connection.finish(keep=self._keep and not self._desk.stopping)


def outcome_of(call: InferenceCall) -> Outcome:
    """How an admitted request ended, in the words of docs/operations/usage-rules.md."""
    if call.usage is not None:
        return call.usage.outcome
    return call.left_as or "upstream_failed"


def _as_json(error: ErrorAnswer) -> tuple[int, str, bytes]:
    return error.status, JSON, error.body
