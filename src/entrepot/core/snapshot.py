"""The snapshot a gateway serves from: compiled from the world and the issued keys, published and swapped whole.

It is written as lines of JSON: what there is little of, then lines of a hundred keys, projects, deployments, principals
or budgets. A process that serves reads it line by line, and nothing waits for all of it. What there may be many of is
kept from Python's collector (gc=False): it holds no circles, and to look for some takes longer than to read it.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from entrepot.core.budgets import OwnedBudget
from entrepot.core.capacity import ServedLimit
from entrepot.core.catalog import Operation
from entrepot.core.costs import PricesInForce
from entrepot.core.errors import SnapshotRefused
from entrepot.core.lifecycle import BY_GRANT, Stage, StageFrom, Successor, stage_at
from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.service_tiers import ServiceTiers
from entrepot.core.tenancy import AnswerCaching, IdentityProvider, Queueing, Role
from entrepot.core.upstream_rules import PoolRules, UpstreamRules

SCHEMA = 1
_T = TypeVar("_T")
_ITEMS = 100  # Of a line: about a millisecond of reading, where they are deployments.


class Target(msgspec.Struct, frozen=True):
    """One upstream that can serve a deployment. base_url is complete; model is the upstream's own name.

    rank: only when no target of a lower one can serve. weight: its share among those of the same rank.
    """

    upstream: str
    base_url: str
    key_env: str
    model: str
    usage_lookup: bool
    key_file: str = ""
    weight: int = 1
    rank: int = 0

    @property
    def key(self) -> str:
        """Where the upstream's key is: an environment variable or a path, which begins with a slash; or ""."""
        return self.key_file or self.key_env


# From the first instant to before the second.
Window = tuple[Instant, Instant]


class ServedDeployment(msgspec.Struct, frozen=True, gc=False):
    """A deployment with all that serving it needs.

    targets: by rank. tiers: beside the default one, when the customer's contract has prices for it.
    cache: whether answers are kept. revision: differs when what answers does: the model's version, an upstream's model.
    limits: that its requests meet. tokenizer: see Model. prices: where money is held for its requests.
    usable: when a provisioned one has units, None for one that is there always; spillover: the deployment that answers
    what it is too full for, or "". stage: of its model until the first of stages; granted: when the customer may use it
    though it is not for all yet. queue: how far its requests may wait for its limits, None for not at all.
    successor: of its model, and when the deployment becomes one of that, by END_OF_TIME never; upgraded_from: the model
    that it was of before.
    service_tiers: that a request may choose; service_tier: of one that does not, or "" for the default one.
    """

    name: str
    model: str
    owned_by: str
    stage: Stage
    context_tokens: int
    operations: tuple[Operation, ...]
    targets: tuple[Target, ...]
    tiers: dict[str, tuple[Window, ...]] = {}
    cache: AnswerCaching | None = None
    revision: str = ""
    routing: PoolRules = PoolRules()
    limits: tuple[ServedLimit, ...] = ()
    tokenizer: str = ""
    prices: tuple[PricesInForce, ...] = ()
    usable: tuple[Window, ...] | None = None
    spillover: str = ""
    stages: tuple[StageFrom, ...] = ()
    granted: tuple[Window, ...] = ()
    queue: Queueing | None = None
    successor: Successor | None = None
    upgraded_from: str = ""
    service_tiers: ServiceTiers | None = None
    service_tier: str = ""

    def stage_at(self, at: Instant) -> Stage:
        """The stage its model is in at the instant."""
        return stage_at(self.stage, self.stages, at)

    def admits(self, at: Instant) -> bool:
        """Whether the customer may use it by the stage its model is in at the instant."""
        stage = self.stage_at(at)
        if stage in BY_GRANT:
            return any(begins <= at < ends for begins, ends in self.granted)
        return stage != "retired"

    def has_units(self, at: Instant) -> bool:
        """Whether there is anything to use, which of one that is not provisioned there always is."""
        return self.usable is None or any(begins <= at < ends for begins, ends in self.usable)

    def offers(self, tier: str, at: Instant) -> bool:
        """Whether the deployment can be used at the tier at the instant."""
        return tier == "default" or any(begins <= at < ends for begins, ends in self.tiers.get(tier, ()))


class UpgradedTo(msgspec.Struct, frozen=True, gc=False):
    """What a deployment is from an instant on."""

    begins: Instant
    deployment: ServedDeployment


class ServedProject(msgspec.Struct, frozen=True, gc=False):
    """A project and its deployments by name. upgrades: what some of them will be, in the order of time.

    costs_in: the currency that its requests are told their costs in, "" where they are not.
    """

    id: str
    customer: str
    deployments: dict[str, ServedDeployment]
    upgrades: dict[str, tuple[UpgradedTo, ...]] = {}
    costs_in: str = ""

    def deployment(self, name: str, at: Instant) -> ServedDeployment | None:
        """The deployment of this name as it is at the instant."""
        begun = [item.deployment for item in self.upgrades.get(name, ()) if item.begins <= at]
        return begun[-1] if begun else self.deployments.get(name)

    def in_use(self, at: Instant) -> dict[str, ServedDeployment]:
        """What the customer may use at the instant, by name."""
        found = {name: self.deployment(name, at) or item for name, item in self.deployments.items()}
        return {name: item for name, item in found.items() if item.admits(at) and item.has_units(at)}

    def version(self, name: str, model: str) -> ServedDeployment | None:
        """The deployment of this name while it is of the model, the last time that it is."""
        found = None
        for item in (self.deployments.get(name), *(later.deployment for later in self.upgrades.get(name, ()))):
            if item is not None and item.model == model:
                found = item
        return found

    def as_ever(self, until: Instant = END_OF_TIME) -> Iterator[ServedDeployment]:
        """Its deployments as they were, are and will be, until an instant."""
        for name, deployment in self.deployments.items():
            yield deployment
            yield from (item.deployment for item in self.upgrades.get(name, ()) if item.begins <= until)


class ServedPrincipal(msgspec.Struct, frozen=True, gc=False):
    """A directory identity bound to a project. issuer: the directory's, or "" where there is only one."""

    project: str
    role: Role
    issuer: str = ""


class ServedKey(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An issued key and its project, by their ids."""

    id: str
    project: str


class GatewaySnapshot(msgspec.Struct, frozen=True, gc=False):
    """Everything a gateway knows. keys: by digest. upstreams: by id; one left out has no rules.

    budgets: those that nothing is served beyond.
    """

    schema: int
    version: int
    published_at: str
    projects: dict[str, ServedProject]
    keys: dict[str, ServedKey]
    identity_providers: tuple[IdentityProvider, ...]
    principals: dict[str, ServedPrincipal]
    upstreams: dict[str, UpstreamRules] = {}
    budgets: tuple[OwnedBudget, ...] = ()


class _First(GatewaySnapshot, frozen=True, gc=False):
    """The first line: a snapshot without what the others hold. lines: how many of them there are."""

    lines: int = 0


class _Line(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Any other. projects: without their deployments, which are (project, name, deployment, its upgrades)."""

    projects: dict[str, ServedProject] = {}
    deployments: tuple[tuple[str, str, ServedDeployment, tuple[UpgradedTo, ...]], ...] = ()
    keys: dict[str, ServedKey] = {}
    principals: dict[str, ServedPrincipal] = {}
    budgets: tuple[OwnedBudget, ...] = ()


class _SchemaOnly(msgspec.Struct, frozen=True):
    schema: int


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode_first = msgspec.json.Decoder(_First).decode
_decode_line = msgspec.json.Decoder(_Line).decode


def encode_snapshot(snapshot: GatewaySnapshot) -> bytes:
    """The snapshot as lines; equal snapshots have equal bytes."""
    projects = sorted(snapshot.projects.items())
    bare = [(name, msgspec.structs.replace(item, deployments={}, upgrades={})) for name, item in projects]
    deployments = [
        (project, name, deployment, item.upgrades.get(name, ()))
        for project, item in projects
        for name, deployment in sorted(item.deployments.items())
    ]
    lines = [
        *(_Line(projects=dict(items)) for items in _cut(bare)),
        *(_Line(deployments=tuple(items)) for items in _cut(deployments)),
        *(_Line(keys=dict(items)) for items in _cut(sorted(snapshot.keys.items()))),
        *(_Line(principals=dict(items)) for items in _cut(sorted(snapshot.principals.items()))),
        *(_Line(budgets=tuple(items)) for items in _cut(snapshot.budgets)),
    ]
    first = _First(
        schema=snapshot.schema,
        version=snapshot.version,
        published_at=snapshot.published_at,
        projects={},
        keys={},
        identity_providers=snapshot.identity_providers,
        principals={},
        upstreams=snapshot.upstreams,
        lines=len(lines),
    )
    return b"".join(_encode(line) + b"\n" for line in (first, *lines))


def decoding(lines: Iterable[bytes]) -> Generator[None, None, GatewaySnapshot]:
    """The snapshot in the lines, of which each step reads one.

    Raises: SnapshotRefused for another schema or damaged content.
    """
    try:
        coming = iter(lines)
        line = next(coming, b"")
        schema = msgspec.json.decode(line, type=_SchemaOnly).schema
        if schema != SCHEMA:
            raise SnapshotRefused(f"the snapshot has schema {schema}, this gateway reads {SCHEMA}; upgrade the gateway")
        first = _decode_first(line)
        projects, keys, principals = first.projects, first.keys, first.principals
        budgets = list(first.budgets)
        read = 0
        for line in coming:
            yield
            more = _decode_line(line)
            projects.update(more.projects)
            for project, name, deployment, upgrades in more.deployments:
                projects[project].deployments[name] = deployment
                if upgrades:
                    projects[project].upgrades[name] = upgrades
            keys.update(more.keys)
            principals.update(more.principals)
            budgets.extend(more.budgets)
            read += 1
        if read != first.lines:
            raise msgspec.DecodeError(f"{read} lines follow the first, and there should be {first.lines}")
    except (msgspec.DecodeError, KeyError) as error:
        raise SnapshotRefused(
            f"the snapshot cannot be read ({error}); publish it again with `entrepot apply`"
        ) from None
    return GatewaySnapshot(
        schema=schema,
        version=first.version,
        published_at=first.published_at,
        projects=projects,
        keys=keys,
        identity_providers=first.identity_providers,
        principals=principals,
        upstreams=first.upstreams,
        budgets=tuple(budgets),
    )


def _cut(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[at : at + _ITEMS] for at in range(0, len(items), _ITEMS))
