"""A snapshot's upstreams made ready: connections, keys, and the pools that requests take their ways from."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping

from entrepot.admission.measures import MetLimit
from entrepot.core.errors import BadInput, UpstreamUnavailable
from entrepot.core.snapshot import GatewaySnapshot, ServedDeployment, ServedProject, Target
from entrepot.core.upstream_rules import PoolRules, Timeouts, UpstreamRules
from entrepot.dialects.operations import PATHS
from entrepot.relay.destination import Destination, Place, destinations_of, place_of
from entrepot.relay.upstream import Lane, UpstreamLimits, UpstreamPool
from entrepot.routing.endpoint import Endpoint
from entrepot.routing.fleet import Fleet
from entrepot.routing.plan import is_plain
from entrepot.routing.pool import Leading, Member, Pool


class Way(Leading):
    """What leads a request to one upstream. model: the upstream's own name for it. keeps_account: of what it served."""

    __slots__ = ("destination", "keeps_account", "key_at", "lane", "model", "upstream")

    def __init__(
        self,
        upstream: str,
        model: str,
        destination: Destination,
        lane: Lane,
        endpoint: Endpoint,
        key_at: str,
        *,
        keeps_account: bool = False,
    ) -> None:
        super().__init__(endpoint)
        self.upstream = upstream
        self.model = model
        self.destination = destination
        self.lane = lane
        self.key_at = key_at
        self.keeps_account = keeps_account


class Ready:
    """A deployment of a snapshot with what its requests need at hand: in the snapshot each would search for it, see
    docs/decisions/0009.

    limits: that requests meet; hedges: a second upstream is asked when the first is slow; caches: answers are kept.
    is_served: until the next snapshot is served from.
    """

    __slots__ = (
        "caches", "context_tokens", "customer", "deployment", "hedges", "is_served", "limits", "model", "name",
        "operations", "pool", "project", "service_tier",
    )  # fmt: skip

    def __init__(self, project: ServedProject, deployment: ServedDeployment, pool: Pool[Way]) -> None:
        self.deployment = deployment
        self.project = project.id
        self.customer = project.customer
        self.name = deployment.name
        self.model = deployment.model
        self.operations = deployment.operations
        self.context_tokens = deployment.context_tokens
        self.limits = tuple(MetLimit(limit) for limit in deployment.limits)
        self.service_tier = deployment.service_tier
        self.caches = deployment.cache is not None
        self.hedges = deployment.routing.hedge_after_ms > 0
        self.pool = pool
        self.is_served = True


# What deployments share a pool by.
Like = tuple[tuple[Target, ...], PoolRules]


class Ways:
    """All ways of a gateway process. secret_of: the key at a place (Target.key); raises BadInput when there is none."""

    def __init__(self, connections: UpstreamPool, secret_of: Callable[[str], str]) -> None:
        self.fleet: Fleet[Way] = Fleet()
        self.later = connections.later
        self._connections = connections
        self._secret_of = secret_of
        self._projects: Mapping[str, ServedProject] = {}
        self._pools: dict[Like, Pool[Way]] = {}
        self._ready: dict[tuple[str, str, str], Ready] = {}  # By project, deployment and model, once asked for.
        self._plain: dict[str, dict[str, Ready]] = {}  # Of those the plain ones, by project and deployment.
        self.places: dict[Place, Way] = {}

    def adopting(self, snapshot: GatewaySnapshot, likes: Collection[Like]) -> Generator[None, None, list[str]]:
        """Leads where this snapshot says from its last step on. Returns what of it cannot be used.

        likes: of all its deployments, each once: of many deployments, few differ in it.
        """
        every = (target for targets, _ in likes for target in targets)
        destinations, faults = yield from destinations_of(every, PATHS, self._secret_of)
        places: dict[Place, Way] = {}
        pools: dict[Like, Pool[Way]] = {}
        for targets, rules in likes:
            yield
            pools[targets, rules] = Pool(self._members(targets, destinations, snapshot.upstreams, places), rules)
        self.places, self._pools = places, pools
        for ready in self._ready.values():
            ready.is_served = False
        self._ready, self._plain = {}, {}
        self._projects = snapshot.projects
        self.fleet.serve(self._pools.values(), self.places)
        return faults

    @property
    def held(self) -> list[Collection[object]]:
        """What was made of the snapshot, and there may be many of."""
        return [self._ready, self._pools, self.places]

    def plain(self, project: str, name: str) -> Ready | None:
        """The deployment of this name, where it is plain (routing.plan.is_plain), as nearly all are; None also before
        it was asked for as any other.
        """
        deployments = self._plain.get(project)
        return None if deployments is None else deployments.get(name)

    def ready(self, project: str, deployment: ServedDeployment) -> Ready:
        """Any deployment. Raises: UpstreamUnavailable, when it is none of the snapshot any more."""
        return self._ready.get((project, deployment.name, deployment.model)) or self._made(project, deployment)

    def _made(self, project: str, deployment: ServedDeployment) -> Ready:
        served = self._projects.get(project)
        found = None if served is None else served.version(deployment.name, deployment.model)
        if served is None or found is None:
            raise UpstreamUnavailable(
                f"The deployment {deployment.name!r} was changed while the request waited; try again.", retry_after_s=1
            )
        ready = Ready(served, found, self._pools[found.targets, found.routing])
        self._ready[project, found.name, found.model] = ready
        if is_plain(served, found):
            self._plain.setdefault(project, {})[found.name] = ready
        return ready

    def pool(self, project: str, deployment: ServedDeployment) -> Pool[Way]:
        """Its upstreams. Raises: UpstreamUnavailable, when it is none of the snapshot any more."""
        return self.ready(project, deployment).pool

    def renew_keys(self, changed: Callable[[str], bool]) -> list[str]:
        """Reads anew the keys at places that have changed; which could not be used, the old ones staying in use."""
        faults = []
        for way in self.places.values():
            if way.key_at and changed(way.key_at):
                try:
                    way.destination.use_key(self._secret_of(way.key_at))
                except BadInput as error:
                    faults.append(f"the upstream {way.upstream} keeps its last key: {error.message}")
        return faults

    def has_new_key(self, way: Way, sent: str) -> bool:
        """Whether another key than the one that was sent is in use by now, of what is where the way's is."""
        destination = way.destination
        try:
            key = self._secret_of(way.key_at) if way.key_at else ""
            if key != destination.key:
                destination.use_key(key)
        except BadInput:  # What is in use may have been renewed all the same.
            pass
        return destination.key != sent

    def _members(
        self,
        targets: Iterable[Target],
        destinations: dict[Place, Destination],
        rules: dict[str, UpstreamRules],
        places: dict[Place, Way],
    ) -> list[Member[Way]]:
        members = []
        for target in targets:
            place = place_of(target)
            destination = destinations.get(place)
            if destination is None:
                continue
            own = rules.get(target.upstream)
            limits = None if own is None else _limits(own.timeouts, self._connections.limits)
            way = Way(
                target.upstream,
                target.model,
                destination,
                self._connections.lane(destination.origin, limits),
                self.fleet.endpoint(place, own or UpstreamRules()),
                target.key,
                keeps_account=target.usage_lookup,
            )
            places.setdefault(place, way)
            members.append(Member(way, target.rank, target.weight))
        return members


def _limits(timeouts: Timeouts, otherwise: UpstreamLimits) -> UpstreamLimits:
    return UpstreamLimits(
        connect_s=timeouts.connect_ms / 1000,
        first_byte_s=timeouts.first_byte_ms / 1000,
        silence_s=timeouts.silence_ms / 1000,
        total_s=timeouts.total_ms / 1000,
        idle_s=otherwise.idle_s,
        idle_connections_max=otherwise.idle_connections_max,
    )
