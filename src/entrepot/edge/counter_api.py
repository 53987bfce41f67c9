"""The socket of the process that keeps a machine's counters; what is said there is in core.counter_language."""

import asyncio
import logging
from typing import cast

from entrepot.core.counter_language import WordsReader, answer, packed
from entrepot.core.errors import BadInput
from entrepot.core.shared_counters import SharedCounters
from entrepot.ports.clock import Clock

_events = logging.getLogger("entrepot.counters")


class CounterConnection(asyncio.Protocol):
    """One gateway. It is answered in order, at once."""

    def __init__(self, counters: SharedCounters, clock: Clock) -> None:
        self._counters = counters
        self._clock = clock
        self._reader = WordsReader()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            at = self._clock.now()
            answers = [packed(answer(self._counters, words, at)) for words in self._reader.feed(data)]
        except BadInput as error:
            _events.error("counter_client_dropped reason=%s", error)
            self._transport.abort()
        else:
            if answers and not self._transport.is_closing():
                self._transport.write(b"".join(answers))
