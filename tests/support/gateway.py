"""A gateway in this process: its own event loop in a thread, a usage log in memory, a scripted upstream beside it."""

import asyncio
import contextlib
import socket
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar, cast

import uvloop

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.adapters.tokenizers import BundledTokenizers
from entrepot.admission.desk import Desk
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import Abandoned, Admitted, LogRecord, UsageRecorded
from entrepot.core.metrics import Report
from entrepot.core.snapshot import (
    SCHEMA,
    GatewaySnapshot,
    ServedDeployment,
    ServedKey,
    ServedPrincipal,
    ServedProject,
    Target,
)
from entrepot.core.tenancy import CacheStore, IdentityProvider
from entrepot.core.turns import at_once
from entrepot.core.upstream_rules import UpstreamRules
from entrepot.core.usage_event import UsageEvent
from entrepot.edge.client_connection import ClientConnection, ClientLimits
from entrepot.edge.gateway_report import Watchers
from entrepot.edge.inference_api import InferenceApi
from entrepot.flows.forward_jobs import ForwardJobs
from entrepot.flows.serve_inference.flow import ServeInference
from entrepot.metering.usage_writer import UsageWriter
from entrepot.ports.answer_store import AnswerStore
from entrepot.ports.clock import Clock
from entrepot.ports.counters import Counters
from entrepot.ports.event_log import Settling
from entrepot.relay.upstream import UpstreamLimits, UpstreamPool
from tests.scripted_upstream import ScriptedUpstream

T = TypeVar("T")

StoresIn = Callable[[asyncio.AbstractEventLoop], Mapping[CacheStore, AnswerStore]]

KEY = "ek-a-key-of-the-tests"
UPSTREAM_KEY = "sk-the-upstream-key"
WAIT_S_MAX = 60.0  # What is waited for comes soon, on a machine that has nothing else to do.


class MemorySink:
    """A usage log in memory. hold: acknowledgements wait for release; failing: nothing is taken until recover."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.available = True
        self.answers = True
        self.failing = False
        self.hold = False
        self._held: list[Callable[[], None]] = []
        self._owed: list[LogRecord] = []

    @property
    def owed(self) -> int:
        return len(self._owed)

    def append(self, record: LogRecord) -> None:
        self.records.append(record)

    def settle(self, record: LogRecord, waiter: Settling) -> None:
        loop = asyncio.get_running_loop()
        if self.failing:
            self._owed.append(record)
            loop.call_soon(waiter.not_settled)
            return
        self.records.append(record)
        if self.hold:
            self._held.append(waiter.settled)
        else:
            loop.call_soon(waiter.settled)

    def recover(self) -> None:
        """Takes records again, those that are owed first."""
        self.failing = False
        self.records += self._owed
        self._owed.clear()

    def release(self) -> None:
        """Acknowledges what is held."""
        self.hold = False
        held, self._held = self._held, []
        for done in held:
            done()


class MemoryBoard:
    """Where one process alone puts what it has counted."""

    def __init__(self) -> None:
        self.report: Report = ()

    def publish(self, report: Report) -> None:
        self.report = report

    def gather(self) -> list[Report]:
        return [self.report]


def deployment(name: str = "chat", *targets: Target, **changes: Any) -> ServedDeployment:
    """A deployment of the model `model-of-{name}`."""
    fields: dict[str, Any] = {
        "name": name,
        "model": f"model-of-{name}",
        "owned_by": "maker",
        "stage": "general",
        "context_tokens": 8192,
        "operations": ("chat", "completions"),
        "targets": targets,
    }
    return ServedDeployment(**{**fields, **changes})


def target(base_url: str, upstream: str = "up", key_env: str = "UP_KEY", **changes: Any) -> Target:
    """A target whose upstream knows every model as `upstream-model`."""
    fields: dict[str, Any] = {"key_env": key_env, "model": "upstream-model", "usage_lookup": False}
    return Target(upstream=upstream, base_url=base_url, **fields | changes)


def snapshot(
    *deployments: ServedDeployment,
    providers: tuple[IdentityProvider, ...] = (),
    principals: dict[str, ServedPrincipal] | None = None,
    upstreams: dict[str, UpstreamRules] | None = None,
) -> GatewaySnapshot:
    """A project `search` of the customer `acme` with these deployments, and KEY as its key."""
    return GatewaySnapshot(
        schema=SCHEMA,
        version=1,
        published_at="2024-03-05T08:00:00Z",
        projects={"search": ServedProject("search", "acme", {item.name: item for item in deployments})},
        keys={key_digest(KEY): ServedKey("key-1", "search")},
        identity_providers=providers,
        principals=principals or {},
        upstreams=upstreams or {},
    )


class Gateway:
    """A running gateway. What it is made of may be looked at; what changes its state goes through `run`."""

    def __init__(
        self,
        limits: ClientLimits | None = None,
        upstream_limits: UpstreamLimits | None = None,
        watchers: Watchers | None = None,
        stores: StoresIn | None = None,
        counters: Counters | None = None,
        lost_share: int = 0,
        clock: Clock | None = None,
    ) -> None:
        """stores: makes the answer stores, in the gateway's loop. counters: by default in the process. clock: likewise
        the machine's.
        """
        self.clock = clock or SystemClock()
        self.counters = counters or MemoryCounters().holder("gateway")
        self.lost_share = lost_share
        self.board = MemoryBoard()
        self.watchers = watchers or Watchers(self.board)
        self.stores = stores
        self.limits = limits or ClientLimits()
        self.upstream_limits = upstream_limits or UpstreamLimits()
        self.sink = MemorySink()
        self.upstream = ScriptedUpstream()
        self.others: list[ScriptedUpstream] = []
        self.keys = {"UP_KEY": UPSTREAM_KEY}
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self) -> "Gateway":
        self._thread.start()
        self.run(self._start())
        return self

    async def _start(self) -> None:
        clock = self.clock
        self.pool = UpstreamPool(self.loop, self.upstream_limits)
        self.flow = ServeInference(
            instance="0000002a",
            usage=UsageWriter(self.sink, clock),
            pool=self.pool,
            secret_of=self.keys.__getitem__,
            desk=Desk(self.counters, self.lost_share, getattr(self.counters, "spent", None)),
            tokenizers=BundledTokenizers(),
            stores=self.stores(self.loop) if self.stores else None,
        )
        jobs = ForwardJobs(self.pool, "/nowhere", "ei-unused")
        self.api = InferenceApi(self.flow, jobs, clock, 42, self.limits, self.watchers)
        await self.upstream.start()
        self._server = await self.loop.create_server(
            lambda: cast(asyncio.Protocol, ClientConnection(self.api)), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def another_upstream(self, script: str = "") -> ScriptedUpstream:
        """One more upstream, which does as the script says with every request."""
        self.others.append(ScriptedUpstream(script=script))
        return self.run(self.others[-1].start())

    def serve(self, *deployments: ServedDeployment, **upstreams: UpstreamRules) -> None:
        """Serves these deployments, and no others, from now on. upstreams: rules by id."""
        self.adopt(snapshot(*deployments, upstreams=upstreams))

    def adopt(self, published: GatewaySnapshot) -> None:
        """Serves from this snapshot from now on; all of it can be used."""

        async def adopt() -> list[str]:
            return at_once(self.flow.adopting(published))

        assert self.run(adopt()) == []

    def stop(self) -> None:
        self.run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S_MAX)
        with warnings.catch_warnings():  # As an error, one that something is open would keep uvloop waiting for it.
            warnings.simplefilter("ignore", ResourceWarning)
            self.loop.close()
        assert self.errors == [], self.errors

    async def _stop(self) -> None:
        self._server.close()
        for connection in list(self.api.connections):
            connection.cut()
        self.pool.close()
        for upstream in (self.upstream, *self.others):
            await upstream.stop()
        await asyncio.sleep(0.01)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work done in the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S_MAX)

    def do(self, work: Callable[[], None]) -> None:
        """Runs work in the gateway's loop."""

        async def done() -> None:
            work()

        self.run(done())

    def let_go_on(self, upstream: ScriptedUpstream) -> None:
        """What has stalled at an upstream goes on."""
        self.do(lambda: upstream.goes_on.set_result(None))

    def later(self, seconds: float) -> None:
        """Sweeps, and again as if so many seconds had passed."""
        now = self.loop.time()
        self.do(lambda: self._sweep(now))
        self.do(lambda: self._sweep(now + seconds))

    def _sweep(self, now: float) -> None:
        self.api.sweep(now)
        self.pool.sweep(now)

    def connect(self) -> socket.socket:
        """A connection to the gateway, for bytes that no client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S_MAX)

    def of(self, kind: type[T]) -> list[T]:
        """The records of a kind, in log order."""
        return [record for record in list(self.sink.records) if isinstance(record, kind)]

    def usage(self) -> UsageEvent:
        """The one usage event that was recorded, waited for."""
        eventually(lambda: self.of(UsageRecorded))
        [recorded] = self.of(UsageRecorded)
        return recorded.event

    def admitted(self) -> Admitted:
        """The one admission."""
        eventually(lambda: self.of(Admitted))
        [admitted] = self.of(Admitted)
        return admitted

    def abandoned(self) -> Abandoned:
        """The one request that was given up, waited for; none has usage."""
        eventually(lambda: self.of(Abandoned))
        [abandoned] = self.of(Abandoned)
        assert self.of(UsageRecorded) == []
        return abandoned


@contextlib.contextmanager
def running_gateway(
    limits: ClientLimits | None = None,
    upstream_limits: UpstreamLimits | None = None,
    *,
    published: bool = True,
    watchers: Watchers | None = None,
    stores: StoresIn | None = None,
    counters: Counters | None = None,
    lost_share: int = 0,
    clock: Clock | None = None,
) -> Iterator[Gateway]:
    """A gateway, stopped at the end; nothing may have failed unseen in its loop.

    published: serves `chat`, `a/b`, `embed` and the retired `old`.
    """
    gateway = Gateway(limits, upstream_limits, watchers, stores, counters, lost_share, clock).start()
    if published:
        gateway.serve(
            deployment("chat", target(gateway.upstream.base_url)),
            deployment("a/b", target(gateway.upstream.base_url)),
            deployment("embed", target(gateway.upstream.base_url), operations=("embeddings",)),
            deployment("old", target(gateway.upstream.base_url), stage="retired"),
        )
    try:
        yield gateway
    finally:
        gateway.stop()


def eventually(condition: Callable[[], object]) -> None:
    """Returns once the condition holds. Raises: AssertionError after WAIT_S_MAX."""
    end = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.002)
