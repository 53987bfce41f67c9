"""What the client's side of a request is asked to do; and what stands for a client that has left."""

from collections.abc import Callable, Sequence
from typing import Protocol

from entrepot.core.capacity import Standing
from entrepot.core.errors import EntrepotError
from entrepot.core.lifecycle import begins_at
from entrepot.core.log_records import Admitted
from entrepot.core.periods import Instant
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.usage_event import Outcome, UsageEvent
from entrepot.dialects.openai_wire import UpstreamError


class Client(Protocol):
    """The client's side of one request, as the edge shapes it. A request ends with one of the calls marked *.

    admitted: set once the request may have reached an upstream; usage: once it was recorded.
    """

    admitted: Admitted | None
    usage: UsageEvent | None

    def answer(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        """* A whole answer, as the upstream wrote it."""
        ...

    def open_stream(self, media_type: str = "") -> Callable[[bytes], None] | None:
        """Events follow, or bytes of the media type. What takes HTTP chunks of them as they are, if the client does."""
        ...

    def send(self, events: bytes) -> None:
        """Whole events, as the upstream wrote them."""
        ...

    def end_stream(self, events: bytes) -> None:
        """* The last events."""
        ...

    def refuse(self, error: EntrepotError) -> None:
        """* An error of our own, before anything was sent."""
        ...

    def relay_error(self, status: int, error: UpstreamError, retry_after: bytes) -> None:
        """* An error of the upstream's, before anything was sent."""
        ...

    def break_stream(self, error: EntrepotError) -> None:
        """* An error of our own, among the events."""
        ...

    def left(self, outcome: Outcome) -> None:
        """* Nothing: it is gone, and what is to be recorded has been."""
        ...

    @property
    def cache_control(self) -> bytes:
        """What the client says of answers that were kept (RFC 9111), or b""."""
        ...

    def tell_cache(self, status: str, age_s: int | None = None) -> None:
        """To be said in the head of the answer: whether it was kept, and since when."""
        ...

    def tell_tier(self, used: str, why: str = "") -> None:
        """To be said in the head of the answer, if that is not written yet: the tier of service it is billed at.

        why: that is not the one that was chosen.
        """
        ...


class LimitedClient(Client, Protocol):
    """A client that can be told how the limits stand that its request meets."""

    def tell_limits(self, standings: Callable[[Instant], Sequence[Standing]]) -> None:
        """To be said in the head of the answer, whatever it is; asked for when that is written."""
        ...

    @property
    def spillover(self) -> str:
        """The deployment that the request names for when its own is too full, or ""."""
        ...

    def tell_spillover(self, full: str, instead: str, failure: str = "") -> None:
        """To be said in the head of the answer: which deployment was too full, and which answers instead of it.

        failure: why that could not answer either.
        """
        ...

    def tell_deprecation(self, since: Instant | None, retires_at: Instant | None) -> None:
        """To be said in the head of the answer: that the model is deprecated, since when, and when it is retired."""
        ...

    def tell_model(self, model: str) -> None:
        """To be said in the head of the answer: which model answers."""
        ...

    def tell_queued(self, waited_ms: int) -> None:
        """To be said in the head of the answer: how long the request waited for its limits."""
        ...


def tell_stage(client: LimitedClient, deployment: ServedDeployment, at: Instant) -> None:
    """Tells the client when the deployment's model is deprecated, and which one it is after an upgrade."""
    if deployment.upgraded_from:
        client.tell_model(deployment.model)
    if deployment.stage_at(at) == "deprecated":
        client.tell_deprecation(begins_at(deployment.stages, "deprecated"), begins_at(deployment.stages, "retired"))


class Departed:
    """Stands for a client that has left while the answer is read to its end; then the client is told that it has."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.admitted = client.admitted
        self.usage = client.usage

    def answer(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        """See Client."""
        del status, body, media_type
        self._end()

    def open_stream(self, media_type: str = "") -> Callable[[bytes], None] | None:
        """See Client."""
        del media_type
        return None

    def send(self, events: bytes) -> None:
        """See Client."""

    def end_stream(self, events: bytes) -> None:
        """See Client."""
        del events
        self._end()

    def refuse(self, error: EntrepotError) -> None:
        """See Client."""
        del error
        self._end()

    def relay_error(self, status: int, error: UpstreamError, retry_after: bytes) -> None:
        """See Client."""
        del status, error, retry_after
        self._end()

    def break_stream(self, error: EntrepotError) -> None:
        """See Client."""
        del error
        self._end()

    def left(self, outcome: Outcome) -> None:
        """See Client."""
        del outcome
        self._end()

    @property
    def cache_control(self) -> bytes:
        """See Client."""
        return self._client.cache_control

    def tell_cache(self, status: str, age_s: int | None = None) -> None:
        """See Client."""

    def tell_tier(self, used: str, why: str = "") -> None:
        """See Client."""

    def _end(self) -> None:
        self._client.usage = self.usage
        self._client.left("client_left")
