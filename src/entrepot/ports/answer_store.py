"""Where answers are kept to be given again. Losing one costs a request to an upstream, never more."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from entrepot.core.periods import Instant


class StoreCounters(msgspec.Struct):
    """What a store has done in this process. failures: times it could not be asked, or not in time."""

    entries: int = 0
    size_bytes: int = 0
    evictions: int = 0
    failures: int = 0


class AnswerStore(Protocol):
    """Values by key, for the gateway's event loop, which never waits for them long."""

    @property
    def counters(self) -> StoreCounters:
        """What has been done so far; entries and their size are of this process."""
        ...

    def get(self, key: str, at: Instant, done: Callable[[bytes | None], None]) -> None:
        """Calls done, at once or soon, with the value; with None where there is none, or it cannot be told in time."""
        ...

    def put(self, key: str, value: bytes, at: Instant, ttl_s: int) -> None:
        """Keeps the value for so many seconds, or shorter; nothing is reported back."""
        ...
