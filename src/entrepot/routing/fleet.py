"""All upstreams of a gateway process: what happens at one is told here, and reaches the pools that it is in."""

from collections.abc import Iterable
from typing import Generic, TypeVar

from entrepot.core.periods import Instant
from entrepot.core.upstream_rules import UpstreamRules
from entrepot.routing.endpoint import Endpoint
from entrepot.routing.health import State
from entrepot.routing.pool import Leading, Pool

WayT = TypeVar("WayT", bound=Leading)

# An upstream and a base URL of it: one that runs inside this machine has a base URL for each of its models.
Place = tuple[str, str]


class Fleet(Generic[WayT]):
    """endpoints: by place; they outlive a snapshot, with what is known of them. pools: of the snapshot served now."""

    def __init__(self) -> None:
        self.endpoints: dict[Place, Endpoint] = {}
        self.pools: list[Pool[WayT]] = []
        self._retries_before = 0  # Of pools that are served no more.
        self._refused_before = 0
        self._pools_of: dict[Endpoint, list[Pool[WayT]]] = {}
        self._rearranged: set[Endpoint] = set()  # Since pools were served last: others may have been made before that.

    def endpoint(self, place: Place, rules: UpstreamRules) -> Endpoint:
        """The endpoint of a place, which goes by these rules from now on."""
        known = self.endpoints.get(place)
        if known is None:
            known = self.endpoints[place] = Endpoint(place[0], rules)
        else:
            known.obey(rules)
        return known

    @property
    def retries(self) -> int:
        """How many requests were tried at a further upstream."""
        return self._retries_before + sum(pool.budget.spent for pool in self.pools)

    @property
    def refused_retries(self) -> int:
        """How many were not, for want of budget."""
        return self._refused_before + sum(pool.budget.refused for pool in self.pools)

    def serve(self, pools: Iterable[Pool[WayT]], places: Iterable[Place]) -> None:
        """Serves from these pools from now on, and forgets all places but these."""
        self._retries_before, self._refused_before = self.retries, self.refused_retries
        self.pools = list(pools)
        self._pools_of = {}
        for pool in self.pools:
            for endpoint in pool.endpoints:
                self._pools_of.setdefault(endpoint, []).append(pool)
        kept = set(places)
        self.endpoints = {place: endpoint for place, endpoint in self.endpoints.items() if place in kept}
        rearranged, self._rearranged = self._rearranged, set()
        for endpoint in rearranged:
            for pool in self._pools_of.get(endpoint, ()):
                pool.arrange()

    def succeeded(self, endpoint: Endpoint, at: Instant) -> None:
        """An endpoint whose health is troubled has served a request."""
        state = endpoint.health.state
        endpoint.health.succeeded(at)
        self._note(endpoint, state)

    def failed(self, endpoint: Endpoint, at: Instant) -> None:
        """An attempt at the endpoint failed by its fault."""
        endpoint.failed += 1
        state = endpoint.health.state
        endpoint.health.failed(at, endpoint.started)
        self._note(endpoint, state)

    def rest(self, endpoint: Endpoint, at: Instant, for_us: int) -> None:
        """The endpoint said that it wants no requests for a while."""
        endpoint.health.asked_to_rest(at, for_us)
        self._arrange(endpoint)

    def checked(self, endpoint: Endpoint, good: bool, at: Instant) -> None:
        """A check of the endpoint is over."""
        state = endpoint.health.state
        endpoint.health.checked(good, at)
        self._note(endpoint, state)

    def tick(self, at: Instant) -> None:
        """To be called a few times a second."""
        for endpoint in self.endpoints.values():
            health = endpoint.health
            state, resting = health.state, health.resting
            health.tick(at, endpoint.started)
            self._note(endpoint, state)
            if resting and not health.resting:
                self._arrange(endpoint)
        for pool in self.pools:
            pool.budget.tick(at, pool.requests)

    def _note(self, endpoint: Endpoint, before: State) -> None:
        if endpoint.health.state != before:
            endpoint.set_slots()
            self._arrange(endpoint)

    def _arrange(self, endpoint: Endpoint) -> None:
        self._rearranged.add(endpoint)
        for pool in self._pools_of.get(endpoint, ()):
            pool.arrange()
