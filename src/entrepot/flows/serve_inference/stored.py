"""Responses that an upstream has stored: found among a project's upstreams, told, ended, deleted, or gone on from.

Upstreams keep them under one key for all our customers. So before anything is done with one, its upstream is asked for
it, and it must bear the mark of the caller's project (dialects/responses.py); one of another project does not exist.
None of this is metered: what a response used was recorded when it was made.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from entrepot.admission.holds import Hold
from entrepot.core.errors import EntrepotError, NotFound, UpstreamFailed
from entrepot.core.periods import Instant
from entrepot.core.usage_event import Outcome
from entrepot.dialects import responses
from entrepot.flows.serve_inference.attempts import relay_refusal
from entrepot.flows.serve_inference.client import Client
from entrepot.flows.serve_inference.exchange import Exchange
from entrepot.flows.serve_inference.ways import Way
from entrepot.relay import sse
from entrepot.relay.attempt import Attempt, Failure, Outlet
from entrepot.relay.failures import error_of, unreachable
from entrepot.relay.http1 import AnswerHead
from entrepot.relay.usage_tap import StreamTap


class StoredAsk(NamedTuple):
    """A request about a stored response. rest: of the path behind its id; query: as sent, without an api-version."""

    id: str
    method: bytes
    response: str
    rest: str
    query: str

    @property
    def target(self) -> str:
        """What its upstream is asked for, behind the base URL."""
        return f"/responses/{self.response}{self.rest}" + (f"?{self.query}" if self.query else "")

    @property
    def is_plain(self) -> bool:
        """Whether it asks for the response itself, whole."""
        return self.method == b"GET" and not self.rest and "stream=true" not in self.query.split("&")


class Search:
    """Looks for a response at one upstream after the other; the taker of its attempts.

    found: told of the way to the upstream that has it, and its answer; refused: why there is none.
    """

    __slots__ = (
        "_attempt",
        "_error",
        "_found",
        "_project",
        "_refused",
        "_request_id",
        "_target",
        "_tried",
        "_way",
        "_ways",
    )

    _attempt: Attempt
    _way: Way

    def __init__(
        self,
        ways: Sequence[Way],
        target: str,
        project: str,
        request_id: str,
        found: Callable[[Way, bytes], None],
        refused: Callable[[EntrepotError], None],
    ) -> None:
        """target: of the response, behind an upstream's base URL."""
        self._ways = ways
        self._target = target
        self._project = project
        self._request_id = request_id
        self._found = found
        self._refused = refused
        self._tried = 0
        self._error: EntrepotError = NotFound("There is no stored response with this id here.")

    def go_on(self) -> None:
        """Asks the next upstream, or says that none has it; why, if one of them could not tell."""
        if self._tried == len(self._ways):
            self._refused(self._error)
            return
        self._way = self._ways[self._tried]
        self._tried += 1
        self._attempt = Attempt(self._way.lane, self, _no_stream)
        self._attempt.start()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._attempt.cancel()

    def next_request(self) -> bytes:
        """A request for the response."""
        return self._way.destination.bare_request("GET", self._target, self._request_id)

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """Whether it is there, and the project's own."""
        if head.status == 200 and responses.belongs_to(body, self._project):
            self._found(self._way, body)
            return
        if head.status not in {200, 400, 404}:
            self._error = UpstreamFailed(f"An upstream did not say whether it has the response (status {head.status}).")
        self.go_on()

    def failed(self, failure: Failure) -> None:
        """Perhaps another one has it."""
        self._error = unreachable() if failure.reason == "unreachable" else error_of(failure)
        self.go_on()

    def stream_begins(self, head: AnswerHead) -> Outlet:
        """Never: it is not asked for."""
        raise AssertionError(head)

    def stream_ended(self, tap: StreamTap) -> None:
        """Never, likewise."""
        raise AssertionError(tap)


class Continuation:
    """A request that goes on from a stored response, once that was found; what its connection waits for."""

    __slots__ = ("_at", "_begin", "_client", "_exchange", "_hold", "_paused", "_search")

    def __init__(
        self, ways: Sequence[Way], previous: str, project: str, request_id: str, at: Instant, client: Client,
        begin: Callable[[tuple[Way, ...]], Exchange],
        hold: Hold | None,
    ) -> None:  # fmt: skip
        """begin: makes the exchange, with the only way it may go, which has the hold then. Raises: NotFound."""
        self._at = at
        self._hold = hold
        self._client = client
        self._begin = begin
        self._exchange: Exchange | None = None
        self._paused = False
        self._search = Search(
            ways, f"/responses/{checked_id(previous)}", project, request_id, self._found, self._refused
        )

    def start(self) -> None:
        """Looks for it; everything else follows, perhaps before this returns."""
        self._search.go_on()

    def pause(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        self._paused = paused
        if self._exchange is not None:
            self._exchange.pause(paused)

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone."""
        if self._exchange is not None:
            self._exchange.client_left(outcome)
        else:
            self._search.cancel()
            self._release()
            self._client.left(outcome)

    def _release(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.release(self._at)

    def _refused(self, error: EntrepotError) -> None:
        self._release()
        self._client.refuse(error)

    def _found(self, way: Way, body: bytes) -> None:
        del body
        exchange = self._exchange = self._begin((way,))
        exchange.start()
        if self._paused:
            exchange.pause(True)


class StoredErrand:
    """What is asked about a stored response, handed to its upstream, and the answer handed back."""

    __slots__ = ("_ask", "_attempt", "_client", "_search", "_way")

    _way: Way

    def __init__(self, ways: Sequence[Way], ask: StoredAsk, project: str, client: Client) -> None:
        self._ask = ask
        self._client = client
        self._attempt: Attempt | None = None
        target = ask.target if ask.is_plain else f"/responses/{ask.response}"
        self._search = Search(ways, target, project, ask.id, self._found, client.refuse)

    def start(self) -> None:
        """Looks for the response; everything else follows, perhaps before this returns."""
        self._search.go_on()

    def _found(self, way: Way, body: bytes) -> None:
        if self._ask.is_plain:
            self._client.answer(200, body)
            return
        self._way = way
        self._attempt = Attempt(way.lane, self, _events_only)
        self._attempt.start()

    def next_request(self) -> bytes:
        """What the client asked for."""
        return self._way.destination.bare_request(self._ask.method.decode(), self._ask.target, self._ask.id)

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """Hands the answer back; where our own key or request is at fault, an error of ours."""
        if head.status < 300:
            self._client.answer(head.status, body, head.content_type)
        else:
            relay_refusal(self._client, head, body, self._way.destination)

    def failed(self, failure: Failure) -> None:
        """Says so."""
        error = unreachable() if failure.reason == "unreachable" else error_of(failure)
        if self._attempt is not None and self._attempt.tap is not None:
            self._client.break_stream(error)
        else:
            self._client.refuse(error)

    def stream_begins(self, head: AnswerHead) -> Outlet:
        """The client's side of a response that is told as events once more."""
        del head
        return Outlet(self._client.send, self._client.open_stream())

    def stream_ended(self, tap: StreamTap) -> None:
        """Sends what the tap holds of its end."""
        self._client.end_stream(tap.held)

    def pause(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        if self._attempt is not None:
            self._attempt.pause(paused)

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """Nobody waits any more."""
        (self._attempt or self._search).cancel()
        self._client.left(outcome)


def checked_id(response: str) -> str:
    """The id, when it can be one: nothing else may come into an upstream's path. Raises: NotFound."""
    if not responses.ID.fullmatch(response):
        raise NotFound("There is no stored response with this id here.")
    return response


def _no_stream(media_type: bytes) -> None:
    del media_type


def _events_only(media_type: bytes) -> StreamTap | None:
    if media_type != sse.MEDIA_TYPE:
        return None
    return StreamTap(marks=responses.STREAM_MARKS, read=responses.read_event, drop_usage=False)
