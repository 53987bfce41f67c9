"""Counters that a process of this machine keeps, drawn from through its socket. Meets the port Counters.

One connection, on which everything is asked as it comes and answered in order. It is made anew by `tick`; a keeper that
has not answered for ANSWER_US is given up.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from entrepot.core.counter_language import Words, WordsReader, packed
from entrepot.core.drawing import Answered, Drawing
from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.errors import BadInput
from entrepot.core.periods import SECOND, Instant

ANSWER_US = SECOND  # By the gateway's clock; its own loop may be as late as the keeper.

_log = logging.getLogger("entrepot.counters")


class MachineCounters:
    """name: of this gateway."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: Path, name: str) -> None:
        self._loop = loop
        self._path = path
        self.drawing = Drawing(name, self._send)
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._asked_at: Instant | None = None
        self._complained = False

    def draw(
        self, draws: Sequence[Draw], at: Instant, done: Callable[[tuple[Grant, ...] | Shortage | None], None]
    ) -> None:
        self.drawing.draw(draws, at, done)

    def give(self, returns: Sequence[Return], at: Instant) -> None:
        self.drawing.give(returns, at)

    @property
    def scarce(self) -> set[str]:
        return self.drawing.scarce

    def tick(self, at: Instant) -> None:
        """Makes the connection where there is none, and gives up one that says nothing."""
        if self._connection is None:
            if self._connecting is None:
                self._connecting = self._loop.create_task(self._connect())
        elif not self._connection.waiting:
            self._asked_at = None
        elif self._connection.heard or self._asked_at is None:
            self._connection.heard, self._asked_at = False, at
        elif at - self._asked_at > ANSWER_US:
            self._connection.give_up("no answer in time")
        self.drawing.tick(at)

    def close(self) -> None:
        """Ends the connection; what waits is told so."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._complained = True
            self._connection.give_up("closed")

    def lost(self, connection: "_Connection", reason: str) -> None:
        """The connection serves no more."""
        if self._connection is connection:
            self._connection = self._asked_at = None
            self.drawing.disconnected()
            self._complain(reason)

    def _send(self, words: Words, done: Answered) -> None:
        if self._connection is None:
            done(None)
        else:
            self._connection.send(words, done)

    async def _connect(self) -> None:
        try:
            _, connection = await self._loop.create_unix_connection(lambda: _Connection(self), str(self._path))
        except OSError as error:
            self._complain(error.strerror or str(error))
        else:
            self._connection = connection
            self._complained = False
            self.drawing.connected()
        finally:
            self._connecting = None

    def _complain(self, reason: str) -> None:
        """Says once what is wrong, until it has been right again."""
        if not self._complained:
            self._complained = True
            _log.warning("counters_unavailable socket=%s reason=%s", self._path, reason)


class _Connection(asyncio.Protocol):
    """One connection. waiting: who has no answer yet. heard: whether something came since that was last looked at."""

    def __init__(self, counters: MachineCounters) -> None:
        self._counters = counters
        self._reader = WordsReader()
        self._transport: asyncio.Transport | None = None
        self.waiting: deque[Answered] = deque()
        self.heard = False

    def send(self, words: Words, done: Answered) -> None:
        """Writes a message, and begins to wait."""
        if self._transport is None:
            done(None)
            return
        self.waiting.append(done)
        self._transport.write(packed(words))

    def give_up(self, reason: str) -> None:
        """Drops the connection, and tells all that wait."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._counters.lost(self, reason)
        waiting, self.waiting = self.waiting, deque()
        for done in waiting:
            done(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hands out answers."""
        self.heard = True
        try:
            answers = self._reader.feed(data)
        except BadInput as error:
            self.give_up(str(error))
            return
        for answer in answers:
            if not self.waiting:
                self.give_up("an answer that nobody asked for")
                return
            self.waiting.popleft()(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives up, unless it has been."""
        if self._transport is not None:
            self.give_up(str(exc or "the process that keeps them ended"))
