"""Counters in Valkey, shared by the gateways of several machines. Meets the port Counters.

All of it is one script (counters.lua), called once for each message of core.counter_language, by the server's clock.
Every key has one hash tag, so on a cluster all counters are at one node. The server must not evict them
(`maxmemory-policy noeviction`); it is asked at each connection.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from importlib import resources

from entrepot.adapters.valkey.client import Answer, Server, ValkeyClient
from entrepot.adapters.valkey.eviction import ASKED, evicts_by
from entrepot.adapters.valkey.wire import ServerError
from entrepot.core.counter_language import Words, limits_of
from entrepot.core.drawing import Answered, Drawing
from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.periods import Instant

_log = logging.getLogger("entrepot.valkey")

PREFIX = b"entrepot:{counters}:"
REPLY_S_MAX = 1.0  # Requests wait for it; a server that is slower is as good as gone.
SCRIPT = resources.files(__package__).joinpath("counters.lua").read_bytes()


class ValkeyCounters:
    """name: of this gateway, unique among all machines. installation: whose budgets it counts: they go by its books."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server, name: str, installation: str = "") -> None:
        self._client = ValkeyClient(loop, server, REPLY_S_MAX)
        self._server = server.name
        self.drawing = Drawing(name, self._send)
        self._installation = installation.encode()
        self._digest = b""
        self._is_up = False

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
        """Makes the connection where there is none, and begins on it."""
        self._client.tick()
        if not self._is_up and self._client.is_connected:
            self._is_up = True
            self._client.execute(b"SCRIPT", b"LOAD", SCRIPT, done=self._loaded)
            self._client.execute(*ASKED, done=self._told)
        self.drawing.tick(at)

    def close(self) -> None:
        """Ends the connection; what waits is told so."""
        self._client.close()

    def _loaded(self, answer: Answer) -> None:
        if isinstance(answer, bytes):
            self._digest = answer
            self.drawing.connected()
        else:
            self._down()

    def _told(self, answer: Answer) -> None:
        """Says what a server that is full would do to counters; one that may not be asked is taken as it is."""
        policy = evicts_by(answer)
        if policy:
            _log.warning(
                "valkey_may_evict server=%s maxmemory_policy=%s; when its memory is full it forgets counters, and "
                "limits and budgets may be granted twice: CONFIG SET maxmemory-policy noeviction",
                self._server,
                policy,
            )

    def _down(self) -> None:
        """What was asked may have been done or not: the next connection begins with all that is known here."""
        self._is_up = False
        self.drawing.disconnected()

    def _send(self, words: Words, done: Answered) -> None:
        keys = list(keys_of(words, self._installation))
        rest = (b"%d" % len(keys), *keys, *words)

        def take(answer: Answer) -> None:
            if isinstance(answer, ServerError) and answer.startswith("NOSCRIPT"):
                self._client.execute(b"EVAL", SCRIPT, *rest, done=finish)
            else:
                finish(answer)

        def finish(answer: Answer) -> None:
            if isinstance(answer, list):
                done([word if isinstance(word, bytes) else b"" for word in answer])
            else:
                self._down()
                done(None)

        self._client.execute(b"EVALSHA", self._digest, *rest, done=take)


def keys_of(words: Words, installation: bytes = b"") -> Iterator[bytes]:
    """The keys that a message is about, which the server is told."""
    yield PREFIX + b"-head"
    yield PREFIX + b"-leases"
    for limit, refill in limits_of(words):
        yield PREFIX + (installation + b"/" if refill == b"budget" else b"") + limit
