"""What is asked about files and batches, handed to the jobs process as it came, and its answer handed back.

    identity -> relay

Nothing of this is metered: a batch's requests come back through the gateway one by one, and are then.
"""

from typing import NamedTuple, NoReturn, Protocol

from entrepot.core.errors import EntrepotError, UpstreamFailed, UpstreamUnavailable
from entrepot.core.usage_event import Outcome
from entrepot.identity.authenticate import Caller
from entrepot.identity.authorize import check_jobs
from entrepot.relay.attempt import Attempt, Failure, Outlet
from entrepot.relay.destination import Origin
from entrepot.relay.http1 import AnswerHead
from entrepot.relay.upstream import Lane, UpstreamPool
from entrepot.relay.usage_tap import StreamTap


class JobAsk(NamedTuple):
    """A request about files or batches. path: below the prefix of its dialect, with its query; as sent, like the rest.

    deployment: from the path, or b"". is_azure: the dialect of errors.
    """

    method: bytes
    path: bytes
    media_type: bytes
    body: bytes
    deployment: bytes
    is_azure: bool


class JobClient(Protocol):
    """The client's side; hears exactly one of these."""

    def reply(self, status: int, media_type: str, body: bytes, fields: str = "") -> None:
        """A whole answer."""
        ...

    def refuse(self, error: EntrepotError) -> None:
        """An error of our own."""
        ...

    def left(self, outcome: Outcome) -> None:
        """Nothing: it is gone."""
        ...


class ForwardJobs:
    """The flow of one gateway process. socket: the path of the jobs process's socket; token: what it knows us by."""

    def __init__(self, pool: UpstreamPool, socket: str, token: str) -> None:
        self._lane = pool.lane(Origin(socket, 0, tls=False))
        self._token = token.encode()

    def forward(self, ask: JobAsk, caller: Caller, client: JobClient) -> "Errand":
        """The errand that answers the client, perhaps already. Raises: PermissionDenied."""
        check_jobs(caller)
        errand = Errand(self._lane, self._written(ask, caller.project.id), client)
        errand.start()
        return errand

    def _written(self, ask: JobAsk, project: str) -> bytes:
        # The connection serves once: one that went stale unseen would leave open whether a batch was made.
        return (
            b"%b %b HTTP/1.1\r\nHost: jobs\r\nConnection: close\r\nAuthorization: Bearer %b\r\n"
            b"x-entrepot-project: %b\r\nx-entrepot-dialect: %b\r\nx-entrepot-deployment: %b\r\n"
            b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
        ) % (
            ask.method,
            ask.path,
            self._token,
            project.encode(),
            b"azure" if ask.is_azure else b"openai",
            ask.deployment,
            ask.media_type,
            len(ask.body),
            ask.body,
        )


class Errand:
    """One request at the jobs process; the taker of its attempt."""

    __slots__ = ("_attempt", "_client", "_request")

    def __init__(self, lane: Lane, request: bytes, client: JobClient) -> None:
        self._attempt = Attempt(lane, self, _no_tap)
        self._request = request
        self._client = client

    def start(self) -> None:
        """Asks for a connection; everything else follows from it."""
        self._attempt.start()

    # ---- what the attempt says

    def next_request(self) -> bytes:
        """The request."""
        return self._request

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """Hands the answer back."""
        media_type = head.field(b"content-type") or b"application/octet-stream"
        self._client.reply(head.status, media_type.decode("latin-1"), body)

    def failed(self, failure: Failure) -> None:
        """Says that there is no answer; what was not sent can be asked again."""
        if failure.sent:
            self._client.refuse(UpstreamFailed("The batch service broke off; look whether it did what was asked."))
        else:
            self._client.refuse(UpstreamUnavailable("The batch service is not there; try again.", retry_after_s=1))

    def stream_begins(self, head: AnswerHead) -> Outlet:
        """Never: the jobs process answers with whole bodies."""
        del head
        _no_stream()

    def stream_ended(self, tap: StreamTap) -> None:
        """Never, likewise."""
        del tap
        _no_stream()

    # ---- what the client says

    def pause(self, paused: bool) -> None:
        """Nothing: an answer is sent once it is whole."""

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """Nobody waits any more."""
        self._attempt.cancel()
        self._client.left(outcome)


def _no_stream() -> NoReturn:
    raise AssertionError("the jobs process answered with a stream of events")


def _no_tap(media_type: bytes) -> None:
    """Whatever it is, it is kept until it is whole."""
    del media_type
