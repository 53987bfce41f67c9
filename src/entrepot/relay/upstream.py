"""Connections to upstreams: kept open, lent to one request at a time, watched by one sweep instead of a timer each."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, cast

from entrepot.relay.destination import Origin
from entrepot.relay.http1 import AnswerHead, AnswerReader, BrokenAnswer


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Seconds. first_byte_s: from the request to the answer's first byte; silence_s: between bytes after that."""

    connect_s: float = 5
    first_byte_s: float = 120
    silence_s: float = 120
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


class Borrower(Protocol):
    """Who asked for a connection; hears exactly one of these, perhaps before lend returns."""

    def connected(self, connection: "UpstreamConnection") -> None:
        """The connection is the borrower's until the answer ends or it is abandoned."""
        ...

    def unreachable(self, reason: str) -> None:
        """No connection could be made."""
        ...


class Listener(Protocol):
    """Who sent a request; hears on_head, any number of on_body, then on_end; or at any point on_broken as the last."""

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

    def on_head(self, head: AnswerHead) -> None: ...

    def on_chunk(self, data: bytes) -> bool:  # noqa: ARG002 - nothing of it is wanted
        return False

    def on_body(self, payload: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_broken(self, broken: Broken) -> None: ...


_NOBODY = _Nobody()


class UpstreamConnection(asyncio.Protocol):
    """One connection. It goes back to its pool by itself once an answer is complete."""

    __slots__ = ("_listener", "_paused", "_pool", "_reader", "_transport", "heard", "origin", "quiet_since", "reused")

    _transport: asyncio.Transport

    def __init__(self, pool: "UpstreamPool", origin: Origin) -> None:
        self.origin = origin
        self.reused = False
        self.heard = False  # Since the last sweep.
        self.quiet_since = 0.0
        self._pool = pool
        self._reader = AnswerReader()
        self._listener: Listener | None = None
        self._paused = False

    def send(self, request: bytes, listener: Listener) -> None:
        """Sends a request; listener hears the answer."""
        self._listener = listener
        self._pool.watch(self)
        self._transport.write(request)

    def pause(self, paused: bool) -> None:
        """Stops or resumes reading, for a client that is slower than its upstream. Paused, it cannot time out."""
        if paused != self._paused and not self._transport.is_closing():
            self._paused = self.heard = paused
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

    def is_usable(self) -> bool:
        """Whether another request can be sent: open, and the last one fully written."""
        return not self._transport.is_closing() and self._transport.get_write_buffer_size() == 0

    def check_silence(self, now: float, limits: UpstreamLimits) -> None:
        """Breaks off when the upstream has been silent for too long."""
        if self.heard:
            self.heard = self._paused
            self.quiet_since = now
        elif now - self.quiet_since > (limits.silence_s if self._has_answered() else limits.first_byte_s):
            self._break("silent")

    def close(self) -> None:
        """Closes an idle connection."""
        self._transport.close()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by inheritance
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Passes on what is in data."""
        listener = self._listener
        if listener is None:  # An idle upstream has nothing to say, and no answer is to begin with it.
            self._transport.abort()
            return
        self.heard = True
        chunks = self._reader.chunks
        try:
            if chunks is None or not chunks.between or not listener.on_chunk(data):
                self._pass_on(data, listener)
        except Exception:
            self._listener = None
            listener.on_broken(Broken("crashed", answered=True, reused=self.reused))
            raise

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the listener, for whom this may be the regular end of the answer."""
        self._pool.forget(self)
        listener = self._listener
        if listener is None:
            return
        if exc is None and self._reader.end_of_input():
            self._listener = None
            listener.on_end()
        else:
            self._break("closed")

    def _pass_on(self, data: bytes, listener: Listener) -> None:
        reader = self._reader
        begun = reader.head is not None
        try:
            payload = reader.feed(data)
        except BrokenAnswer:
            self._break("malformed")
            return
        if not begun:
            if reader.head is None:
                return
            listener.on_head(reader.head)
        if payload and self._listener is not None:
            listener.on_body(payload)
        if reader.complete:
            self._complete()

    def _complete(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        head = self._reader.head
        self.pause(False)
        self._reader.reset()
        self._pool.take_back(self, keep=head is not None and head.keep_alive)
        listener.on_end()

    def _break(self, reason: Reason) -> None:
        listener, self._listener = self._listener, None
        answered = self._has_answered()
        self._transport.abort()
        if listener is not None:
            listener.on_broken(Broken(reason, answered, self.reused))

    def _has_answered(self) -> bool:
        return self._reader.has_begun


class UpstreamPool:
    """All connections to upstreams of one process. Call sweep a few times a second."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: UpstreamLimits, tls: ssl.SSLContext | None = None
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._tls = tls
        self._idle: dict[Origin, list[UpstreamConnection]] = {}
        self._busy: set[UpstreamConnection] = set()
        self._dialling: set[asyncio.Task[None]] = set()

    def lend(self, origin: Origin, borrower: Borrower, *, fresh: bool = False) -> None:
        """Gives the borrower an open connection at once, or a new one soon. fresh: a new one in any case."""
        idle = self._idle.get(origin)
        while idle and not fresh:
            connection = idle.pop()
            if connection.is_usable():
                connection.reused = True
                borrower.connected(connection)
                return
            connection.close()
        task = self._loop.create_task(self._dial(origin, borrower))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    def watch(self, connection: UpstreamConnection) -> None:
        """The connection has sent a request: it is to answer in time."""
        connection.quiet_since = self._loop.time()
        connection.heard = False
        self._busy.add(connection)

    def take_back(self, connection: UpstreamConnection, *, keep: bool) -> None:
        """The connection's answer is complete, or it was not used."""
        self._busy.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = []
        if keep and connection.is_usable() and len(idle) < self._limits.idle_connections_max:
            connection.quiet_since = self._loop.time()
            idle.append(connection)
        else:
            connection.close()

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is gone."""
        self._busy.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)

    def sweep(self, now: float) -> None:
        """Breaks off what has been silent for too long and closes what has been idle for too long."""
        for connection in list(self._busy):
            connection.check_silence(now, self._limits)
        for idle in self._idle.values():
            while idle and now - idle[0].quiet_since > self._limits.idle_s:
                idle.pop(0).close()

    def close(self) -> None:
        """Closes what is idle; what is lent ends with its borrower."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    async def _dial(self, origin: Origin, borrower: Borrower) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_s):
                connection = await self._connect(origin)
        except TimeoutError:
            borrower.unreachable(f"no connection within {self._limits.connect_s:g} s")
        except (OSError, UnicodeError) as error:
            borrower.unreachable(str(error))
        else:
            borrower.connected(connection)

    async def _connect(self, origin: Origin) -> UpstreamConnection:
        def made() -> UpstreamConnection:
            return UpstreamConnection(self, origin)

        if origin.host.startswith("/"):
            return (await self._loop.create_unix_connection(made, origin.host))[1]
        return (await self._loop.create_connection(made, origin.host, origin.port, ssl=self._context(origin)))[1]

    def _context(self, origin: Origin) -> ssl.SSLContext | None:
        if not origin.tls:
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
