"""Connections to upstreams: kept open, lent to one request at a time, watched by one sweep instead of a timer each."""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, cast

from entrepot.relay.complaints import why_unreachable
from entrepot.relay.destination import Origin
from entrepot.relay.http1 import AnswerHead, AnswerReader, BrokenAnswer, read_whole

_log = logging.getLogger("entrepot.gateway")


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Seconds. first_byte_s: from the request to the answer's first byte; silence_s: between bytes after that.

    total_s: from the request to the answer's end, whoever still listens.
    """

    connect_s: float = 5
    first_byte_s: float = 120
    silence_s: float = 120
    total_s: float = 3600
    idle_s: float = 30
    idle_connections_max: int = 256


Reason = Literal["closed", "silent", "malformed", "crashed"]


class Broken(NamedTuple):
    """Why no more of an answer comes. answered: a byte had come; reused: the connection had served before.

    crashed: a bug of ours, which the event loop reports; the request ends as if its upstream had broken.
    """

    reason: Reason
    answered: bool
    reused: bool

    @property
    def was_stale(self) -> bool:
        """Whether it is only that a kept connection was closed just as it was used: a fresh one may do."""
        return self.reason == "closed" and self.reused and not self.answered


class Borrower(Protocol):
    """Who asked for a connection; hears exactly one of these, perhaps before Lane.lend returns."""

    def connected(self, connection: "UpstreamConnection") -> None:
        """The connection is the borrower's until the answer ends or it is abandoned."""
        ...

    def unreachable(self, reason: str) -> None:
        """No connection could be made."""
        ...


class Listener(Protocol):
    """Who sent a request. Hears on_whole; or on_head, any number of on_body, then on_end.

    At any point it may hear on_broken, as its last.
    """

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        """The answer, all of it at once; in place of on_head, on_body and on_end."""
        ...

    def on_head(self, head: AnswerHead) -> None:
        """The answer begins."""
        ...

    def on_chunk(self, data: bytes) -> bool:
        """Whether data was taken as it is: one chunk with its framing. If not, it comes again as on_body."""
        ...

    def on_body(self, payload: bytes) -> None:
        """Some of its body, as it came; not empty."""
        ...

    def on_end(self) -> None:
        """The answer is complete."""
        ...

    def on_broken(self, broken: Broken) -> None:
        """Nothing more will come."""
        ...


class _Nobody:
    """Listens for a client that has all it needs, until the answer ends."""

    def on_whole(self, head: AnswerHead, body: bytes) -> None: ...

    def on_head(self, head: AnswerHead) -> None: ...

    def on_chunk(self, data: bytes) -> bool:  # noqa: ARG002 - nothing of it is wanted
        return False

    def on_body(self, payload: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_broken(self, broken: Broken) -> None: ...


_NOBODY = _Nobody()


class UpstreamConnection:
    """One connection, an asyncio.Protocol. It goes back to its lane by itself once an answer is complete."""

    __slots__ = ("_began", "_heard", "_lane", "_listener", "_paused", "_quiet_since", "_reader", "_transport", "reused")

    _transport: asyncio.Transport

    def __init__(self, lane: "Lane") -> None:
        self.reused = False
        self._lane = lane
        self._reader = AnswerReader()
        self._listener: Listener | None = None
        self._paused = False
        self._heard = True  # Something was sent or came since the last sweep,
        self._quiet_since = 0.0  # or else when a sweep first found that nothing had.
        self._began = 0.0  # When a sweep first found the request at hand.

    def send(self, request: bytes, listener: Listener) -> None:
        """Sends a request; listener hears the answer."""
        self._listener = listener
        self._heard = True
        self._began = 0.0
        self._transport.write(request)

    def pause(self, paused: bool) -> None:
        """Stops or resumes reading, for a client that is slower than its upstream. Paused, it cannot time out."""
        if paused != self._paused and not self._transport.is_closing():
            self._paused = paused
            self._heard = True
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def leave(self) -> None:
        """Nobody listens any more, but the rest of the answer is read, so that the connection can serve again."""
        self.pause(False)
        if self._listener is not None:
            self._listener = _NOBODY

    def abandon(self) -> None:
        """Closes the connection at once, which tells the upstream to stop; its listener hears nothing more."""
        self._listener = None
        self._transport.abort()

    def sweep(self, now: float, limits: UpstreamLimits) -> None:
        """Breaks off an upstream that is silent or takes too long, closes a connection that is idle for too long."""
        if self._listener is not None:
            self._began = self._began or now
            if now - self._began > limits.total_s:
                self._break("silent")
                return
        if self._heard:
            self._heard = self._paused
            self._quiet_since = now
            return
        quiet_s = now - self._quiet_since
        if self._listener is None:
            if quiet_s > limits.idle_s:
                self.close()
        elif quiet_s > (limits.silence_s if self._reader.has_begun else limits.first_byte_s):
            self._break("silent")

    def put_back(self, *, keep: bool) -> None:
        """Makes the connection one that can serve again, unless it is not to be kept or still sends its request."""
        if keep and not self._transport.get_write_buffer_size() and self._lane.keep(self):
            self._heard = True
        else:
            self.close()

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Makes the connection another protocol's, which learns of its transport here; the lane forgets it."""
        self._lane.connections.discard(self)
        self._lane.forget(self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)

    def close(self) -> None:
        """Closes the connection, which nobody uses."""
        self._lane.forget(self)
        self._transport.close()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by inheritance
        self._lane.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Passes on what is in data."""
        listener = self._listener
        if listener is None:  # An idle upstream has nothing to say, and no answer is to begin with it.
            self._transport.abort()
            return
        self._heard = True
        reader = self._reader
        chunks = reader.chunks
        try:
            if chunks is not None:
                if not chunks.between or not listener.on_chunk(data):
                    self._pass_on(data, listener)
            elif reader.has_begun or not self._pass_whole(data, listener):
                self._pass_on(data, listener)
        except Exception:
            self._listener = None
            listener.on_broken(Broken("crashed", answered=True, reused=self.reused))
            raise

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the listener, for whom this may be the regular end of the answer."""
        self._lane.connections.discard(self)
        self._lane.forget(self)
        listener = self._listener
        if listener is None:
            return
        if exc is None and self._reader.end_of_input():
            self._listener = None
            listener.on_end()
        else:
            self._break("closed")

    def eof_received(self) -> None:
        """Nothing: connection_lost follows."""

    def pause_writing(self) -> None:
        """Nothing: a request is already in memory, whole."""

    def resume_writing(self) -> None:
        """Nothing."""

    def _pass_whole(self, data: bytes, listener: Listener) -> bool:
        """Whether data was all of an answer, as with nearly every one that is no stream."""
        whole = read_whole(data)
        if whole is None:
            return False
        head, body = whole
        self._listener = None
        self.put_back(keep=head.keep_alive)
        listener.on_whole(head, body)
        return True

    def _pass_on(self, data: bytes, listener: Listener) -> None:
        reader = self._reader
        begun = reader.head is not None
        try:
            payload = reader.feed(data)
        except BrokenAnswer:
            self._break("malformed")
            return
        head = reader.head
        if head is None:
            return
        if not begun:
            listener.on_head(head)
        if payload and self._listener is not None:
            listener.on_body(payload)
        if reader.complete and (last := self._listener) is not None:
            self._listener = None
            self.pause(False)
            reader.reset()
            self.put_back(keep=head.keep_alive)
            last.on_end()

    def _break(self, reason: Reason) -> None:
        listener, self._listener = self._listener, None
        answered = self._reader.has_begun
        self._transport.abort()
        if listener is not None:
            listener.on_broken(Broken(reason, answered, self.reused))


class Lane:
    """The connections to one origin under the same limits."""

    __slots__ = ("_idle", "_pool", "complaint", "connections", "limits", "origin")

    def __init__(self, pool: "UpstreamPool", origin: Origin, limits: UpstreamLimits) -> None:
        self.complaint = ""  # Why the last new connection could not be made.
        self.origin = origin
        self.limits = limits
        self._pool = pool
        self._idle: list[UpstreamConnection] = []
        self.connections: set[UpstreamConnection] = set()

    def lend(self, borrower: Borrower, *, fresh: bool = False) -> None:
        """Gives the borrower an idle connection at once, or a new one soon. fresh: a new one in any case."""
        if self._idle and not fresh:
            connection = self._idle.pop()
            connection.reused = True
            borrower.connected(connection)
        else:
            self._pool.dial(self, borrower)

    def keep(self, connection: UpstreamConnection) -> bool:
        """Whether the connection was put with the idle ones; not when there are plenty."""
        if len(self._idle) >= self.limits.idle_connections_max:
            return False
        self._idle.append(connection)
        return True

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is not idle any more."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Closes what is idle."""
        for connection in list(self._idle):
            connection.close()


class UpstreamPool:
    """All connections to upstreams of one process. Call sweep a few times a second."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: UpstreamLimits, tls: ssl.SSLContext | None = None
    ) -> None:
        self.limits = limits
        self._loop = loop
        self.later = loop.call_later
        self._tls = tls
        self._lanes: dict[tuple[Origin, UpstreamLimits], Lane] = {}
        self._dialling: set[asyncio.Task[None]] = set()

    def lane(self, origin: Origin, limits: UpstreamLimits | None = None) -> Lane:
        """The connections to an origin under these limits, or else the pool's own."""
        key = origin, limits or self.limits
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self, *key)
        return lane

    def dial(self, lane: Lane, borrower: Borrower) -> None:
        """Makes a new connection for the borrower."""
        task = self._loop.create_task(self._dial(lane, borrower))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    def sweep(self, now: float) -> None:
        """Ends what has been silent or idle for too long."""
        for lane in self._lanes.values():
            for connection in list(lane.connections):
                connection.sweep(now, lane.limits)

    def close(self) -> None:
        """Closes what is idle; what is lent ends with its borrower."""
        for lane in self._lanes.values():
            lane.close()

    async def _dial(self, lane: Lane, borrower: Borrower) -> None:
        try:
            async with asyncio.timeout(lane.limits.connect_s):
                connection = await self._connect(lane)
        except TimeoutError:
            self._say_once(lane, f"no connection within {lane.limits.connect_s:g} s", borrower)
        except Exception as error:  # noqa: BLE001 - whatever it is: who waits hears of nothing else
            self._say_once(lane, why_unreachable(error), borrower)
        else:
            lane.complaint = ""
            borrower.connected(connection)

    @staticmethod
    def _say_once(lane: "Lane", reason: str, borrower: Borrower) -> None:
        """Tells the borrower, and the operator where it is another reason than last time."""
        if reason != lane.complaint:
            lane.complaint = reason
            _log.warning("upstream_unreachable host=%s port=%s reason=%s", *lane.origin[:2], reason)
        borrower.unreachable(reason)

    async def _connect(self, lane: Lane) -> UpstreamConnection:
        origin = lane.origin

        def made() -> asyncio.Protocol:
            return cast(asyncio.Protocol, UpstreamConnection(lane))  # one by its methods, which is what loops look at

        if origin.host.startswith("/"):
            _, connection = await self._loop.create_unix_connection(made, origin.host)
        else:
            _, connection = await self._loop.create_connection(
                made, origin.host, origin.port, ssl=self._context(origin)
            )
        return cast(UpstreamConnection, connection)

    def _context(self, origin: Origin) -> ssl.SSLContext | None:
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls if origin.tls else None
