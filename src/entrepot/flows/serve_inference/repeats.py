"""A request that may be answered by an earlier answer: the look into the cache, then that answer, or an exchange.

An answer from the cache is metered as it was the first time, at the tier `cached`, and its usage is durable before it
leaves, as any other's. A miss goes upstream as if there were no cache; its answer is copied as it passes and kept once
it is complete. Only a Valkey server makes a request wait for the look, and only briefly (ports.answer_store).
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from entrepot.admission.holds import Hold
from entrepot.caching.answers import Keeping, KeptAnswer, read_kept
from entrepot.caching.requests import is_cached, request_key, wishes_of
from entrepot.core.errors import EntrepotError
from entrepot.core.log_records import Admitted
from entrepot.core.snapshot import ServedDeployment, ServedProject
from entrepot.core.tenancy import AnswerCaching, CacheStore
from entrepot.core.tokens import CACHED_TIER
from entrepot.core.usage_event import Outcome, UsageEvent
from entrepot.dialects.asked import Asked
from entrepot.dialects.openai_wire import UpstreamError
from entrepot.dialects.operations import Operation
from entrepot.flows.serve_inference.client import Client
from entrepot.flows.serve_inference.exchange import Exchange
from entrepot.metering.usage_writer import UsageWriter, log_unavailable
from entrepot.ports.answer_store import AnswerStore

Result = Literal["hit", "miss", "bypass"]


class Begin(Protocol):
    """Makes the exchange of a request that no earlier answer serves."""

    def __call__(self, *, client: Client, asked: Asked, admitted: Admitted, hold: Hold | None) -> Exchange:
        """The exchange, which has not begun."""
        ...


class Repeats:
    """The caches of one process. stores: by name; results: what became of requests that could have been repeats."""

    def __init__(self, usage: UsageWriter, stores: Mapping[CacheStore, AnswerStore]) -> None:
        self.usage = usage
        self.stores = stores
        self.results: dict[Result, int] = {"hit": 0, "miss": 0, "bypass": 0}

    def fault_of(self, deployment: ServedDeployment) -> str:
        """A sentence where the deployment's cache cannot be used here, so that its requests all go upstream; or ""."""
        if deployment.cache is None or deployment.cache.store in self.stores:
            return ""
        return (
            f"deployment {deployment.name} keeps its answers in {deployment.cache.store}, which this gateway does not "
            "have, so nothing is cached; set ENTREPOT_VALKEY_URL"
        )

    def of(
        self,
        project: ServedProject,
        deployment: ServedDeployment,
        operation: Operation,
        asked: Asked,
        admitted: Admitted,
        client: Client,
    ) -> "Repeat | None":
        """The request as one that the deployment's cache may serve, or will keep; None when it has no business there.

        Requests of another tier have their own price, and go where that was agreed.
        """
        caching = deployment.cache
        if caching is None or admitted.tier != "default":
            return None
        fields = asked.all_fields()
        if not is_cached(operation.offered, fields, caching.requests):
            return None
        store = self.stores.get(caching.store)
        if store is None or not deployment.offers(CACHED_TIER, admitted.at):
            return None
        wishes = wishes_of(client.cache_control)
        if not wishes.leaves:
            self.results["bypass"] += 1
            client.tell_cache("bypass")
            return None
        key = request_key(project, deployment, operation.offered, fields)
        return Repeat(self, caching, store, key, asked, admitted, client, takes=wishes.takes)


class Repeat:
    """One such request; what its connection waits for."""

    __slots__ = (
        "_admitted", "_asked", "_begin", "_caches", "_caching", "_client", "_exchange", "_gone", "_hold", "_kept",
        "_key", "_paused", "_store", "_takes",
    )  # fmt: skip

    _begin: Begin
    _kept: KeptAnswer

    def __init__(
        self,
        caches: Repeats,
        caching: AnswerCaching,
        store: AnswerStore,
        key: str,
        asked: Asked,
        admitted: Admitted,
        client: Client,
        *,
        takes: bool,
    ) -> None:
        self._caches = caches
        self._caching = caching
        self._store = store
        self._key = key
        self._asked = asked
        self._admitted = admitted
        self._client = client
        self._takes = takes
        self._exchange: Exchange | None = None
        self._hold: Hold | None = None  # Until an exchange has it, or it has ended.
        self._gone = False  # The client is.
        self._paused = False

    def begin_with(self, begin: Begin, hold: Hold | None) -> None:
        """What is needed where no answer serves it. hold: of the limits it meets."""
        self._begin = begin
        self._hold = hold

    def start(self) -> None:
        """Answers from the cache, or begins an exchange: at once or soon."""
        if self._takes:
            self._store.get(self._key, self._admitted.at, self._found)
        else:
            self._go_upstream("bypass")

    def pause(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        self._paused = paused
        if self._exchange is not None:
            self._exchange.pause(paused)

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone. What was taken from the cache for it has been recorded."""
        self._gone = True
        if self._exchange is None:
            self._release()
            self._client.left(outcome)
        else:
            self._exchange.client_left(outcome)

    def _found(self, value: bytes | None) -> None:
        if self._gone:
            return
        kept = None if value is None else read_kept(value)
        if kept is None or kept.age_s(self._admitted.at) >= self._caching.ttl_s:
            self._go_upstream("miss")
        elif self._caches.usage.available:
            self._answer(kept)
        else:
            self._release()
            self._client.refuse(log_unavailable())

    def _release(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.release(self._admitted.at)

    def _answer(self, kept: KeptAnswer) -> None:
        """Records the usage of a kept answer, which is given once that is done."""
        self._kept = kept
        self._caches.results["hit"] += 1
        admitted = msgspec.structs.replace(self._admitted, tier=CACHED_TIER, upstream="")
        self._caches.usage.admit(admitted)
        hold, self._hold = self._hold, None
        budgets: tuple[tuple[str, int], ...] = ()
        if hold is not None:
            budgets = hold.settle(kept.meters, CACHED_TIER, self._caches.usage.now(admitted))
        self._client.admitted = admitted
        self._client.usage = self._caches.usage.settle(
            admitted,
            kept.meters,
            source="reported",
            outcome=kept.outcome,
            raw=kept.raw,
            budgets=budgets,
            waiter=self,
        )

    def settled(self) -> None:
        """Gives the kept answer: its usage is durable."""
        if self._gone:
            return
        client, kept = self._client, self._kept
        client.tell_cache("hit", kept.age_s(self._admitted.at))
        if kept.is_stream:
            client.open_stream()
            client.end_stream(kept.body)
        else:
            client.answer(200, kept.body)

    def not_settled(self) -> None:
        """Refuses: the usage of an answer cannot be recorded now."""
        if not self._gone:
            self._client.refuse(log_unavailable())

    def _go_upstream(self, result: Result) -> None:
        self._caches.results[result] += 1
        self._client.tell_cache(result)
        keeping = Keeping(self._admitted.at, self._caching.bytes_max)
        client = _Copying(self._client, keeping, self._keep)
        hold, self._hold = self._hold, None
        exchange = self._begin(client=client, asked=self._asked, admitted=self._admitted, hold=hold)
        self._exchange = exchange
        exchange.start()
        if self._paused:
            exchange.pause(True)

    def _keep(self, value: bytes) -> None:
        self._store.put(self._key, value, self._admitted.at, self._caching.ttl_s)


class _Copying:
    """The client of an exchange whose answer is to be kept."""

    __slots__ = ("_client", "_keep", "_keeping")

    def __init__(self, client: Client, keeping: Keeping, keep: Callable[[bytes], None]) -> None:
        self._client = client
        self._keeping = keeping
        self._keep = keep

    @property
    def admitted(self) -> Admitted | None:
        """See Client."""
        return self._client.admitted

    @admitted.setter
    def admitted(self, admitted: Admitted | None) -> None:
        self._client.admitted = admitted

    @property
    def usage(self) -> UsageEvent | None:
        """See Client."""
        return self._client.usage

    @usage.setter
    def usage(self, usage: UsageEvent | None) -> None:
        self._client.usage = usage

    def answer(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        """The whole answer."""
        self._client.answer(status, body, media_type)
        if status == 200:
            self._finish(body)

    def open_stream(self, media_type: str = "") -> None:
        """Events follow; as such, for what is kept knows nothing of HTTP's chunks."""
        self._keeping.is_stream = True
        self._client.open_stream(media_type)

    def send(self, events: bytes) -> None:
        """Whole events."""
        self._client.send(events)
        self._keeping.add(events)

    def end_stream(self, events: bytes) -> None:
        """The last events."""
        self._client.end_stream(events)
        self._finish(events)

    def refuse(self, error: EntrepotError) -> None:
        """An error of our own."""
        self._client.refuse(error)

    def relay_error(self, status: int, error: UpstreamError, retry_after: bytes) -> None:
        """An error of the upstream's."""
        self._client.relay_error(status, error, retry_after)

    def break_stream(self, error: EntrepotError) -> None:
        """An error among the events."""
        self._client.break_stream(error)

    def left(self, outcome: Outcome) -> None:
        """It is gone."""
        self._client.left(outcome)

    @property
    def cache_control(self) -> bytes:
        """What the client says."""
        return self._client.cache_control

    def tell_cache(self, status: str, age_s: int | None = None) -> None:
        """What the client is told."""
        self._client.tell_cache(status, age_s)

    def tell_tier(self, used: str, why: str = "") -> None:
        """What the client is told."""
        self._client.tell_tier(used, why)

    def _finish(self, last: bytes) -> None:
        self._keeping.add(last)
        value = None if self.usage is None else self._keeping.whole(self.usage)
        if value is not None:
            self._keep(value)
