"""One connection to a Valkey server for a process's event loop: commands go out as they come, replies come in order.

Nothing waits in line: a command is written at once behind those that are still unanswered (pipelining), and its reply
is handed to a function. A server that has not answered a command within the bound is given up: all that wait are told
so, the connection is dropped, and until `tick` has made another one every command fails at once. One timer runs, and
only while something is awaited.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit

from entrepot.adapters.valkey.wire import BadReply, Reply, ReplyReader, ServerError, command

_log = logging.getLogger("entrepot.valkey")

REPLY_S_MAX = 0.05
CONNECT_S_MAX = 2.0
_PORT = 6379
_REFUSED_EVERY_S = 60.0
_IS_OPEN = (b"PING",)  # Answered only by a server that wants no password, or has had it.
_ENCODED = "; in a password, write / ? # @ as %2F %3F %23 %40"


class Unanswered(Exception):
    """The server could not be asked, or did not answer in time."""


UNANSWERED = Unanswered()
Answer = Reply | Unanswered
Done = Callable[[Answer], None]


class Server(NamedTuple):
    """Where a server is, and who we are there. path: of a Unix socket; then there is no host."""

    host: str
    port: int
    path: str
    tls: bool
    greetings: tuple[tuple[bytes, ...], ...]

    @property
    def name(self) -> str:
        """What may be said of it in a log: no user, no password."""
        return self.path or f"{self.host}:{self.port}"


def parse_server(url: str) -> Server:
    """The server of valkey://[[user]:password@]host[:port][/database], valkeys://… (TLS) or unix:///path[?db=N].

    Raises: ValueError.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"valkey", "valkeys", "redis", "rediss", "unix"}:
        raise ValueError("must be like valkey://host:6379/0, valkeys://… for TLS, or unix:///path")
    is_unix = parts.scheme == "unix"
    database = parts.query.removeprefix("db=") if is_unix else parts.path.strip("/")
    if database and not database.isdecimal():
        raise ValueError(f"must name a database by its number{_ENCODED}")
    if not (parts.path if is_unix else parts.hostname):
        raise ValueError("must name a path" if is_unix else f"must name a host{_ENCODED}")
    try:
        port = parts.port or _PORT
    except ValueError:  # Its words have what stands there, which may be a part of the password.
        raise ValueError(f"must name a port from 1 to 65535{_ENCODED}") from None
    greetings: list[tuple[bytes, ...]] = []
    if parts.password:
        user = (unquote(parts.username).encode(),) if parts.username else ()
        greetings.append((b"AUTH", *user, unquote(parts.password).encode()))
    if database and database != "0":
        greetings.append((b"SELECT", database.encode()))
    path = parts.path if is_unix else ""
    tls = parts.scheme in {"valkeys", "rediss"}
    return Server(parts.hostname or "", port, path, tls, tuple(greetings))


class ValkeyClient:
    """The connection, made and kept by tick. failures: commands that were not answered. fault: why there is none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server, reply_s_max: float = REPLY_S_MAX) -> None:
        self._loop = loop
        self._server = server
        self._reply_s_max = reply_s_max
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._complained = False
        self._refused_at: dict[str, float] = {}
        self.failures = 0
        self.fault = ""

    @property
    def is_connected(self) -> bool:
        """Whether a command would be sent."""
        return self._connection is not None

    def execute(self, *words: bytes, done: Done) -> None:
        """Sends a command; done gets its reply, or UNANSWERED, which may be before this returns."""
        connection = self._connection
        if connection is None:
            self.failures += 1
            done(UNANSWERED)
        else:
            connection.send(command(*words), done)

    def tick(self) -> None:
        """To be called about once a second, and at the start: makes a connection where there is none."""
        if not self.is_connected and self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())

    def close(self) -> None:
        """Ends the connection; what waits is told so."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._complained = True
            self._connection.give_up("closed")

    def refused(self, reply: ServerError) -> None:
        """Says that the server refused a command, of each kind of refusal once a minute."""
        kind, now = reply.partition(" ")[0], self._loop.time()
        if now - self._refused_at.get(kind, -_REFUSED_EVERY_S) >= _REFUSED_EVERY_S:
            self._refused_at[kind] = now
            _log.warning("valkey_refused server=%s reason=%s", self._server.name, reply)

    def lost(self, connection: "_Connection", reason: str, unanswered: int) -> None:
        """The connection serves no more."""
        self.failures += unanswered
        if self._connection is connection:
            self._connection = None
            self._complain(reason)

    async def _connect(self) -> None:
        connection = _Connection(self._loop, self, self._reply_s_max)
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._open(connection)
                for words in (*self._server.greetings, _IS_OPEN):
                    reply: asyncio.Future[Answer] = self._loop.create_future()
                    connection.send(command(*words), lambda answer, reply=reply: _resolve(reply, answer))  # type: ignore[misc]
                    answer = await reply
                    if answer not in (b"OK", b"PONG"):
                        raise ConnectionError(f"{words[0].decode()} was refused: {answer!r}")
        except (OSError, TimeoutError, UnicodeError) as error:
            self._complain(str(error) or f"no connection within {CONNECT_S_MAX:g} s")
        else:
            if connection.is_open:
                self._connection = connection
                self._complained = False
        finally:
            self._connecting = None
            if self._connection is not connection:
                connection.give_up("not taken")

    async def _open(self, connection: "_Connection") -> None:
        server = self._server
        if server.path:
            await self._loop.create_unix_connection(lambda: connection, server.path)
        else:
            context = ssl.create_default_context() if server.tls else None
            await self._loop.create_connection(lambda: connection, server.host, server.port, ssl=context)

    def _complain(self, reason: str) -> None:
        """Says once what is wrong, until it has been right again."""
        self.fault = reason
        if not self._complained:
            self._complained = True
            _log.warning("valkey_unavailable server=%s reason=%s", self._server.name, reason)


def _resolve(reply: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not reply.done():
        reply.set_result(answer)


class _Connection(asyncio.Protocol):
    """One connection's protocol."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: ValkeyClient, reply_s_max: float) -> None:
        self._loop = loop
        self._client = client
        self._reply_s_max = reply_s_max
        self._reader = ReplyReader()
        self._waiting: deque[Done] = deque()
        self._sent = 0
        self._answered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None

    def send(self, data: bytes, done: Done) -> None:
        """Writes a command, and begins to wait."""
        if self._transport is None:
            done(UNANSWERED)
            return
        self._sent += 1
        self._waiting.append(done)
        self._transport.write(data)
        if self._timer is None:
            self._timer = self._loop.call_later(self._reply_s_max, self._check, self._sent)

    def give_up(self, reason: str) -> None:
        """Drops the connection, and tells all that wait."""
        transport, self._transport = self._transport, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if transport is not None:
            transport.abort()
        waiting, self._waiting = self._waiting, deque()
        self._client.lost(self, reason, len(waiting))
        for done in waiting:
            done(UNANSWERED)

    def _check(self, sent: int, again: bool = True) -> None:
        """What had been sent when the timer was set must be answered by now; a later command gets another timer."""
        self._timer = None
        if self._answered < sent and again:  # Perhaps it is, and this loop was late: it reads first.
            self._timer = self._loop.call_later(0, self._check, sent, False)
        elif self._answered < sent:
            self.give_up(f"no reply within {self._reply_s_max:g} s")
        elif self._waiting:
            self._timer = self._loop.call_later(self._reply_s_max, self._check, self._sent)

    # ---- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hands out replies."""
        try:
            replies = self._reader.feed(data)
        except BadReply as error:
            self.give_up(str(error))
            return
        for reply in replies:
            if not self._waiting:
                self.give_up("a reply that nobody asked for")
                return
            self._answered += 1
            if isinstance(reply, ServerError):
                self._client.refused(reply)
            self._waiting.popleft()(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives up, unless it has been."""
        if self._transport is not None:
            self.give_up(str(exc or "the server closed the connection"))
