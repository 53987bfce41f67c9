"""Answers in Valkey, shared by all gateway processes and machines; the server's own memory limit decides what goes."""

from collections.abc import Callable

from entrepot.adapters.valkey.client import Answer, ValkeyClient
from entrepot.core.periods import Instant
from entrepot.ports.answer_store import StoreCounters

PREFIX = b"entrepot:answer:"


class ValkeyAnswerStore:
    """Meets the port AnswerStore. What it keeps ends by the server's clock."""

    def __init__(self, client: ValkeyClient) -> None:
        self._client = client

    @property
    def counters(self) -> StoreCounters:
        """The failures; entries and their size are the server's to tell."""
        return StoreCounters(failures=self._client.failures)

    def get(self, key: str, at: Instant, done: Callable[[bytes | None], None]) -> None:
        """Calls done once the server has answered, or is given up."""
        del at

        def take(answer: Answer) -> None:
            done(answer if isinstance(answer, bytes) else None)

        self._client.execute(b"GET", PREFIX + key.encode(), done=take)

    def put(self, key: str, value: bytes, at: Instant, ttl_s: int) -> None:
        """Keeps the value, if the server takes it."""
        del at
        self._client.execute(b"SET", PREFIX + key.encode(), value, b"EX", b"%d" % ttl_s, done=_nothing)


def _nothing(answer: Answer) -> None:
    """Whether an answer was kept is nobody's concern."""
