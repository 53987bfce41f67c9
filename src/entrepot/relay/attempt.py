"""One request at one upstream: sent, perhaps sent again on a fresh connection, and its answer taken in.

An event stream is relayed as it comes, through a tap, and so is sound; any other answer is kept until it is whole.
"""

import logging
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol

from entrepot.relay.http1 import AnswerHead
from entrepot.relay.upstream import Broken, Lane, UpstreamConnection
from entrepot.relay.usage_tap import OverlongEvent, StreamTap

ANSWER_BYTES_MAX = 128 * 2**20

_log = logging.getLogger("entrepot.gateway")

Reason = Literal["unreachable", "silent", "broken", "unusable", "crashed"]

_REASONS: dict[str, Reason] = {"closed": "broken", "malformed": "broken", "silent": "silent", "crashed": "crashed"}


class Failure(NamedTuple):
    """Why there is no answer, or no more of it. sent: the upstream may have the request; answered: a byte came back.

    unreachable: no connection; silent: no byte for too long; broken: cut short; unusable: nothing we can relay;
    crashed: a bug of ours.
    """

    reason: Reason
    sent: bool
    answered: bool


class Outlet(NamedTuple):
    """Where a stream goes: events, and whole HTTP chunks of events, if they can be passed on as they are."""

    send: Callable[[bytes], None]
    send_chunk: Callable[[bytes], None] | None = None


class Taker(Protocol):
    """Whom the attempt is made for. Unless cancelled it hears, as its last, exactly one of the calls marked *."""

    def next_request(self) -> bytes | None:
        """The request, now that there is a connection; None to make nothing of it, and to hear nothing more."""
        ...

    def stream_begins(self, head: AnswerHead) -> Outlet:
        """Where whole events go, or the bytes of an answer that is relayed as it comes."""
        ...

    def stream_ended(self, tap: StreamTap) -> None:
        """* The stream's last event has come and is in the tap, or the stream ended with all that it takes."""
        ...

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """* An answer that is not a stream, whole."""
        ...

    def failed(self, failure: Failure) -> None:
        """* Nothing more comes."""
        ...


class _Nobody:
    """Takes the place of a taker that has heard its last."""

    def next_request(self) -> bytes | None:
        return None

    def stream_begins(self, head: AnswerHead) -> Outlet:  # noqa: ARG002 - nobody is there to be told
        return Outlet(_drop)

    def stream_ended(self, tap: StreamTap) -> None: ...

    def answered(self, head: AnswerHead, body: bytes) -> None: ...

    def failed(self, failure: Failure) -> None: ...


_NOBODY: Final = _Nobody()


class Attempt:
    """A lane's borrower and its connection's listener, on behalf of a taker. tap: once a stream has begun.

    key: that the request was sent with, as its taker notes where it may change.
    """

    __slots__ = (
        "_connection", "_head", "_lane", "_new_tap", "_over", "_parts", "_send", "_send_chunk", "_sent", "_size",
        "_taker", "key", "tap",
    )  # fmt: skip

    _send: Callable[[bytes], None]
    _parts: list[bytes]
    _size: int

    def __init__(self, lane: Lane, taker: Taker, new_tap: Callable[[bytes], StreamTap | None]) -> None:
        """new_tap: for an answer of a media type; None, when it is to be kept until it is whole."""
        self._lane = lane
        self._taker = taker
        self._new_tap = new_tap
        self._connection: UpstreamConnection | None = None
        self._head: AnswerHead | None = None
        self._sent = False
        self._over = False
        self._send_chunk: Callable[[bytes], None] | None = None
        self.key = ""
        self.tap: StreamTap | None = None

    @property
    def was_sent(self) -> bool:
        """Whether the upstream may have the request."""
        return self._sent

    @property
    def has_answered(self) -> bool:
        """Whether the head of an answer has come."""
        return self._head is not None

    def start(self) -> None:
        """Asks for a connection; everything else follows from it, perhaps before this returns."""
        self._lane.lend(self)

    def cancel(self) -> None:
        """Tells the upstream to stop by closing its connection; the taker hears nothing more."""
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None
        if not self._over:
            self._end(_say_nothing)

    def mute(self) -> None:
        """Relays nothing more, but goes on: the answer is read to its end, for the sake of what it says of itself."""
        self.pause(False)
        self._send = self._send_chunk = _drop

    def pause(self, paused: bool) -> None:
        """Takes nothing more for now, or does again."""
        if self._connection is not None:
            self._connection.pause(paused)

    # What the lane says.

    def connected(self, connection: UpstreamConnection) -> None:
        """Sends the request, if it is still wanted."""
        try:
            request = None if self._over else self._taker.next_request()
        except Exception:  # noqa: BLE001 - a bug: logged, and told as one; who called for a connection may be anybody
            _log.exception("request_not_made")
            connection.put_back(keep=True)
            self._fail("crashed", answered=False)
            return
        if request is None:
            if not self._over:
                self._end(_say_nothing)
            connection.put_back(keep=True)
            return
        self._sent = True
        self._connection = connection
        connection.send(request, self)

    def unreachable(self, reason: str) -> None:
        """Says so; the reason is for operators, not for clients."""
        del reason
        if not self._over:
            self._fail("unreachable", answered=False)

    # What the connection says.

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        """Hands over the answer, unless it is a stream after all, or nothing we can use."""
        self._connection = None  # It serves others already: a client that is slow must not stop it.
        if not body.startswith(b"{"):  # As JSON does, and neither a stream nor what is compressed.
            self.on_head(head)
            if body and not self._over:
                self.on_body(body)
            if not self._over:
                self.on_end()
            return
        self._head = head
        self._over = True
        self._taker.answered(head, body)
        self._taker = _NOBODY

    def on_head(self, head: AnswerHead) -> None:
        """Opens the stream when the answer is one."""
        self._head = head
        self._parts = []
        self._size = 0
        if head.status < 300 and head.field(b"content-encoding").lower() not in {b"", b"identity"}:
            self._fail("unusable", answered=True)  # An error's status says enough, though its words cannot be read.
        elif head.status == 200 and (tap := self._new_tap(head.media_type)) is not None:
            self.tap = tap
            self._send, self._send_chunk = self._taker.stream_begins(head)

    def on_chunk(self, data: bytes) -> bool:
        """Relays a chunk as it is when nothing in it is worth a look, as with nearly every event of a stream."""
        if self._send_chunk is None or self.tap is None or not self.tap.passes(data):
            return False
        self._send_chunk(data)
        return True

    def on_body(self, payload: bytes) -> None:
        """Relays whole events at once; keeps any other payload."""
        tap = self.tap
        if tap is None:
            self._keep(payload)
            return
        try:
            events = tap.feed(payload)
        except OverlongEvent:
            self._fail("unusable", answered=True)
            return
        if events:
            self._send(events)
        if tap.finished:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.leave()
            self._end(self._taker.stream_ended, tap)

    def on_end(self) -> None:
        """Hands over what was kept, or the stream's end."""
        self._connection = None
        tap = self.tap
        if tap is None:
            assert self._head is not None
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._end(self._taker.answered, self._head, body)
            return
        events = tap.end()
        if events:
            self._send(events)
        if tap.finished or tap.finish:
            self._end(self._taker.stream_ended, tap)
        else:
            self._fail("broken", answered=True)

    def on_broken(self, broken: Broken) -> None:
        """Sends once more if a kept connection had gone stale: the upstream closed it just as we used it."""
        self._connection = None
        if broken.was_stale:
            self._lane.lend(self, fresh=True)
        else:
            self._fail(_REASONS[broken.reason], answered=broken.answered)

    def _keep(self, payload: bytes) -> None:
        self._parts.append(payload)
        self._size += len(payload)
        if self._size > ANSWER_BYTES_MAX:
            self._fail("unusable", answered=True)

    def _fail(self, reason: Reason, *, answered: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()
        self._end(self._taker.failed, Failure(reason, self._sent, answered))

    def _end(self, tell: Callable[..., None], *what: object) -> None:
        """Tells the taker something for the last time, then lets go of it, for it holds on to the attempt."""
        self._over = True
        tell(*what)
        self._taker = _NOBODY


def _drop(data: bytes) -> None:
    """What a client has left unread."""
    del data


def _say_nothing() -> None:
    """The last word to a taker that wants to hear no more."""
