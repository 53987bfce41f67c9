"""Answers in the memory of one process: those used least lately go when there are too many bytes."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from entrepot.core.periods import SECOND, Instant
from entrepot.ports.answer_store import StoreCounters

_ENTRY_BYTES = 320  # What a key, its entry and the table take, as tracemalloc counted on CPython 3.11.


class _Entry(NamedTuple):
    value: bytes
    ends: Instant


class MemoryAnswerStore:
    """Meets the port AnswerStore. bytes_max: of all values with what keeping them takes."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.counters = StoreCounters()

    def get(self, key: str, at: Instant, done: Callable[[bytes | None], None]) -> None:
        """Calls done at once."""
        entry = self._entries.get(key)
        if entry is not None and at >= entry.ends:
            self._drop(key)
            entry = None
        if entry is None:
            done(None)
        else:
            self._entries.move_to_end(key)
            done(entry.value)

    def put(self, key: str, value: bytes, at: Instant, ttl_s: int) -> None:
        """Keeps the value in place of an earlier one, and lets go of others where needed."""
        if key in self._entries:
            self._drop(key)
        size = len(value) + _ENTRY_BYTES
        if size > self._bytes_max:
            return
        while self.counters.size_bytes + size > self._bytes_max:
            self._drop(next(iter(self._entries)))
            self.counters.evictions += 1
        self._entries[key] = _Entry(value, at + ttl_s * SECOND)
        self.counters.entries += 1
        self.counters.size_bytes += size

    def _drop(self, key: str) -> None:
        self.counters.size_bytes -= len(self._entries.pop(key).value) + _ENTRY_BYTES
        self.counters.entries -= 1
