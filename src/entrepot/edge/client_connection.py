"""One client's connection: requests one at a time, time limits, back-pressure, and an orderly end.

A request is taken up only when the client takes its answers: what nobody reads is not made.

There is no timer per connection, and no look at the clock when something happens: a sweep comes by a few times a
second, notes since when a connection has been in its phase, and ends what has been for too long.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

from entrepot.core.usage_event import Outcome
from entrepot.edge.http_answers import CONTINUE
from entrepot.edge.http_requests import Refusal, Request, RequestHead, RequestLimits, RequestReader

# What a connection waits for: the whole of a head; more of a body; nothing, while a request is at hand or none can be
# taken; another request; the client to take the rest of its answer; the client to notice that it was refused.
Phase = Literal["head", "body", "answering", "idle", "closing", "lingering"]


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What a client may do, in seconds and bytes.

    head_s: for a whole head, from its first byte or from the connection; body_s: between two pieces of a body;
    idle_s: between requests; stalled_s: without taking anything of its answer; linger_s: for reading a refusal while it
    still sends. ahead_bytes: of requests sent before their turn.
    """

    request: RequestLimits = field(default_factory=RequestLimits)
    head_s: float = 10
    body_s: float = 30
    idle_s: float = 75
    stalled_s: float = 120
    linger_s: float = 5
    ahead_bytes: int = 64 * 1024


class Waited(Protocol):
    """What a client waits for."""

    def pause(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        ...

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone, or is to be let down."""
        ...


class Connection(Protocol):
    """A client's connection, as the process sees it."""

    @property
    def is_idle(self) -> bool:
        """Whether it may be closed."""
        ...

    def close(self) -> None:
        """Ends it in good order."""
        ...

    def cut(self) -> None:
        """Ends it wherever it is, because the process stops."""
        ...

    def sweep(self, now: float) -> None:
        """Ends it when it is past its time. now: of the event loop's clock."""
        ...


class Application(Protocol):
    """What requests are for."""

    @property
    def limits(self) -> ClientLimits:
        """What clients may do."""
        ...

    @property
    def connections(self) -> set[Connection]:
        """All that are open."""
        ...

    def handle(self, request: Request, connection: "ClientConnection") -> None:
        """Answers the request, now or later: by writes to the connection and one finish."""
        ...

    def admit(self, head: RequestHead, connection: "ClientConnection") -> bool:
        """Whether to read the body of a request of which only the head is here; if not, it has been answered."""
        ...

    def refuse(self, refusal: Refusal, connection: "ClientConnection") -> None:
        """Answers bytes that are no request, likewise."""
        ...


class ClientConnection:
    """One connection, an asyncio.Protocol. One request is at hand at a time; what follows it waits."""

    __slots__ = (
        "_admitted", "_api", "_broken", "_held", "_paused", "_phase", "_reader", "_request", "_since", "_taking",
        "_transport", "_unsent", "_working", "write",
    )  # fmt: skip

    _transport: asyncio.Transport
    write: Callable[[bytes], None]  # Sends bytes of an answer.

    def __init__(self, api: Application) -> None:
        self._api = api
        self._reader = RequestReader(api.limits.request)
        self._request: Request | None = None  # The one at hand.
        self._working: Waited | None = None  # What is done for it, when that takes time.
        self._phase: Phase = "head"
        self._since = 0.0  # The first sweep in this phase, or since what is waited for last moved; 0 before that.
        self._taking = False  # In _take, which goes on by itself.
        self._admitted = False  # The body that is being read has been asked about.
        self._held = False  # Reading is stopped, for too much has come ahead of its turn.
        self._paused = False  # The client takes its answer slower than it comes,
        self._unsent = 0  # and this much was waiting for it at the last sweep.
        self._broken = False  # What comes is no request, or came too slowly; nothing of it is read any more.

    # ---- what answers call

    def wait_for(self, working: Waited) -> None:
        """The request at hand is answered later, by this; it hears when the client leaves or is slow."""
        self._working = working
        if self._paused:
            working.pause(True)

    def finish(self, *, keep: bool) -> None:
        """The answer is complete. keep: the connection may stay open for the next request."""
        self._request = self._working = None
        if self._broken or self._reader.pending is not None:
            self._linger()
        elif not keep:
            self.close()
        elif not self._taking and not self._paused:
            self._take_next()

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Makes the connection another protocol's, which learns of its transport here; this one hears nothing more.

        Returns what has come behind the request at hand.
        """
        self._api.connections.discard(self)
        self._working = None
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._held:
            self._transport.resume_reading()
        return self._reader.take_rest()

    def close(self) -> None:
        """Ends the connection once everything is written."""
        self._enter("closing")
        self._transport.close()

    # ---- what the process calls

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""
        return self._request is None and not self._reader.has_begun

    def cut(self) -> None:
        """Ends the connection in the middle of its answer, because the process stops."""
        self._leave("gateway_lost")
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Ends the connection when it has been in its phase for too long."""
        if self._paused:
            unsent = self._transport.get_write_buffer_size()
            if unsent != self._unsent:
                self._unsent = unsent
                self._since = now
        if not self._since:
            self._since = now
        elif now - self._since > self._limit_s():
            if self._reader.has_begun and not self._paused and not self._is_ending():
                self._refuse(Refusal(408, "The request did not arrive in time."))
            else:
                self._transport.abort()

    # ---- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expects a head."""
        transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by inheritance
        self._transport = transport
        self.write = transport.write
        self._api.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Takes the requests in data, or keeps them while one is at hand or the client takes no answer."""
        if self._request is None and (not self._paused or self._reader.pending is not None):
            if self._phase != "lingering":
                self._take(data)
            return
        self._reader.keep(data)
        if not self._held and self._reader.waiting_bytes > self._api.limits.ahead_bytes:
            self._held = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Takes the client for gone: one that has only closed its sending side cannot be told apart."""
        self._leave("client_left")

    def connection_lost(self, exc: Exception | None) -> None:
        """Takes the client for gone."""
        del exc
        self._api.connections.discard(self)
        self._leave("client_left")

    def pause_writing(self) -> None:
        """Slows the upstream down to the client."""
        self._paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self._since = 0.0
        if self._working is not None:
            self._working.pause(True)

    def resume_writing(self) -> None:
        """Lets the upstream go on."""
        self._paused = False
        self._since = 0.0
        if self._working is not None:
            self._working.pause(False)
        elif self._is_free() and self._reader.pending is None:
            self._take_next()

    def _take_next(self) -> None:
        """Goes on with what has come ahead of its turn, if anything has."""
        if self._held:
            self._held = False
            self._transport.resume_reading()
        self._enter("idle")
        if self._reader.has_begun:
            self._take(b"")

    def _take(self, data: bytes) -> None:
        """Hands out requests until one is not answered at once, or none is complete."""
        self._taking = True
        try:
            request = self._reader.feed(data)
            while request is not None:
                self._request = request
                self._admitted = False
                self._phase = "answering"
                self._api.handle(request, self)
                if not self._is_free():
                    return
                request = self._reader.feed(b"")
            self._await_more()
        except Refusal as refusal:
            self._refuse(refusal)
        finally:
            self._taking = False

    def _await_more(self) -> None:
        """Waits for what is missing of the next request."""
        pending = self._reader.pending
        if pending is not None:
            self._enter("body")
            if not self._admitted:
                self._admitted = True
                if self._api.admit(pending, self) and pending.expects_continue:
                    self._transport.write(CONTINUE)
        elif self._phase != "head":  # However slowly a head comes, its time began with its first byte.
            self._enter("head" if self._reader.has_begun else "idle")

    def _is_free(self) -> bool:
        """Whether the next request can be taken."""
        return self._request is None and not self._paused and not self._is_ending()

    def _is_ending(self) -> bool:
        return self._phase in {"closing", "lingering"}

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = 0.0

    def _limit_s(self) -> float:
        limits, phase = self._api.limits, self._phase
        if self._paused or phase == "closing":
            return limits.stalled_s
        if phase == "answering":
            return math.inf
        if phase == "idle":
            return limits.idle_s
        if phase == "lingering":
            return limits.linger_s
        return limits.head_s if phase == "head" else limits.body_s

    def _refuse(self, refusal: Refusal) -> None:
        self._broken = True
        self._api.refuse(refusal, self)

    def _linger(self) -> None:
        """Ends the connection, but hears the client out for a while: it would lose the answer while it still sends."""
        self._enter("lingering")
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _leave(self, outcome: Outcome) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.client_left(outcome)
