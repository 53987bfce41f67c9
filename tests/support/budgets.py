"""Budgets for tests: a gateway that has some, and the books that weigh them, in memory."""

from collections.abc import Sequence

import msgspec

from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.adapters.sql.books import open_books
from entrepot.admission.weighed import OwnBase, WeighedCounters
from entrepot.core.budgets import Standing, Standings
from entrepot.core.capacity import Limit
from entrepot.core.catalog import Model, Upstream
from entrepot.core.draws import Draw, Return
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import InstanceBegan, KeyIssued, KeyRevoked, LogRecord
from entrepot.core.prices import Price
from entrepot.core.tenancy import ApiKey, Customer, Deployment, Project
from entrepot.core.upstream_rules import Timeouts, UpstreamRules
from entrepot.core.world import World, WorldIndex
from entrepot.flows.weigh_budgets import weigh_budgets
from entrepot.provisioning.publish import compile_snapshot
from entrepot.workers import fold
from tests.support.billing import ListLog, applied, version, world
from tests.support.gateway import KEY, Gateway

INSTANCE = "0000002a"  # Of the gateways of tests.
OUTPUT_PICO = 1_000_000
PATIENT = UpstreamRules(timeouts=Timeouts(connect_ms=60_000))  # Of a thousand connections at once, some wait long.


class KeptStandings:
    """Standings in memory. Meets the port PublishedStandings."""

    def __init__(self) -> None:
        self.published: list[Standings] = []
        self._given = 0

    def publish(self, standings: Standings) -> None:
        self.published.append(standings)

    def load(self) -> Standings | None:
        return self.published[-1] if self.published else None

    def load_new(self) -> list[Standings]:
        new = self.published[self._given :]
        self._given = len(self.published)
        return new


class Weighing:
    """The counters of a gateway of these tests, and what the books make of its log. before: records from before it."""

    def __init__(self, before: Sequence[LogRecord] = ()) -> None:
        self.place = MemoryCounters()
        self.standings = KeptStandings()
        scale = OwnBase(INSTANCE, self._correct, self.place.drop)
        self.counters = WeighedCounters(self.place.holder(INSTANCE), scale, self.standings, INSTANCE)
        self._before = list(before)
        self._keys: list[LogRecord] = []
        self.gateway: Gateway
        self.world: World

    def _correct(self, limit: Limit, more: int, at: int) -> None:
        self.place.give("books", (Return(limit, -more, 0, at),), at)

    def serve(
        self,
        gateway: Gateway,
        customer: Customer,
        project: Project | None = None,
        key: ApiKey | None = None,
        prices: Sequence[Price] = (),
        model: Model | None = None,
        base_url: str = "",
        *,
        usage_lookup: bool = False,
    ) -> None:
        """Publishes a world with budgets. Output costs OUTPUT_PICO a token and input nothing, or what is given."""
        self.gateway = gateway
        rows = prices or (
            Price("m", "input_tokens", "default", 0),
            Price("m", "output_tokens", "default", OUTPUT_PICO),
        )
        made = world(
            version(rows),
            projects=[project or Project("search", "acme")],
            deployments=[Deployment("chat", "search", "m")],
            upstreams=[
                Upstream(
                    "up",
                    "openai",
                    {"m": "upstream-model"},
                    base_url or gateway.upstream.base_url,
                    "UP_KEY",
                    usage_lookup,
                    rules=PATIENT,
                )
            ],
        )
        models = made.models if model is None else (model,)
        self.world = msgspec.structs.replace(made, customers=(customer,), models=models)
        self.key = key or ApiKey("key-1", key_digest(KEY), "search", "", 0)
        self._issue(self.key)

    def rotate(self, key_id: str) -> None:
        """Another key in the place of the one there is, for the same text."""
        old = self.key
        self.key = msgspec.structs.replace(old, id=key_id, continues=old.first)
        self._issue(self.key, old.id)

    def _issue(self, key: ApiKey, replaces: str = "") -> None:
        budget = b"" if key.budget is None else msgspec.json.encode(key.budget)
        self._keys.append(KeyIssued(0, key.id, key.digest, key.project, "", budget, replaces))
        if replaces:
            self._keys.append(KeyRevoked(self.gateway.api.now(), replaces))
        self.gateway.adopt(compile_snapshot(self.world, [key], {}, version=1, at=0))
        self.weigh()

    def weigh(self) -> dict[str, Standing]:
        """Folds the gateway's log, publishes what the books know of budgets, and has the gateway take it up."""
        records = [
            applied(self.world),
            *self._keys,
            *self._before,
            InstanceBegan(INSTANCE, 0),
            *self.gateway.sink.records,
        ]
        books = open_books(":memory:")
        fold(books, ListLog(records))
        standings = weigh_budgets(books, WorldIndex(self.world), self.gateway.api.now())
        books.close()
        self.standings.publish(standings)
        self.sweep()
        return {standing.limit.id: standing for standing in standings.budgets}

    def sweep(self) -> None:
        """Lets the gateway take up what is new, and give back what lies idle."""
        for _ in range(2):
            self.gateway.do(lambda: self.gateway.flow.sweep(self.gateway.api.now()))

    def _meet(self, counter: str) -> None:
        """Its counter is there once something is asked of it."""
        self.counters.draw(
            [Draw(self.counters._weights[counter].limit, 0)], self.gateway.api.now(), lambda result: None
        )

    def used(self, counter: str) -> int:
        """What the gateway's counters have as used of a budget, without what lies idle."""
        self.gateway.do(lambda: self._meet(counter))
        self.sweep()
        kept = self.place._kept[counter]
        return kept.counter.used(kept.limit, self.gateway.api.now())
