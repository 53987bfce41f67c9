"""The snapshot a gateway serves from: compiled from the world and the issued keys, published and swapped whole."""

from collections.abc import Iterator

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


class ServedDeployment(msgspec.Struct, frozen=True):
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


class UpgradedTo(msgspec.Struct, frozen=True):
    """What a deployment is from an instant on."""

    begins: Instant
    deployment: ServedDeployment


class ServedProject(msgspec.Struct, frozen=True):
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

    def as_ever(self, until: Instant = END_OF_TIME) -> Iterator[ServedDeployment]:
        """Its deployments as they were, are and will be, until an instant."""
        for name, deployment in self.deployments.items():
            yield deployment
            yield from (item.deployment for item in self.upgrades.get(name, ()) if item.begins <= until)


class ServedPrincipal(msgspec.Struct, frozen=True):
    """A directory identity bound to a project. issuer: the directory's, or "" where there is only one."""

    project: str
    role: Role
    issuer: str = ""


class GatewaySnapshot(msgspec.Struct, frozen=True):
    """Everything a gateway knows. keys: digest -> (key id, project id). upstreams: by id; one left out has no rules.

    budgets: those that nothing is served beyond.
    """

    schema: int
    version: int
    published_at: str
    projects: dict[str, ServedProject]
    keys: dict[str, tuple[str, str]]
    identity_providers: tuple[IdentityProvider, ...]
    principals: dict[str, ServedPrincipal]
    upstreams: dict[str, UpstreamRules] = {}
    budgets: tuple[OwnedBudget, ...] = ()


class _SchemaOnly(msgspec.Struct, frozen=True):
    schema: int


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(GatewaySnapshot)


def encode_snapshot(snapshot: GatewaySnapshot) -> bytes:
    """The snapshot as JSON; equal snapshots have equal bytes."""
    return _encoder.encode(snapshot)


def decode_snapshot(payload: bytes) -> GatewaySnapshot:
    """The snapshot in payload. Raises: SnapshotRefused for another schema or damaged content."""
    try:
        schema = msgspec.json.decode(payload, type=_SchemaOnly).schema
        if schema != SCHEMA:
            raise SnapshotRefused(f"the snapshot has schema {schema}, this gateway reads {SCHEMA}; upgrade the gateway")
        return _decoder.decode(payload)
    except msgspec.DecodeError as error:
        raise SnapshotRefused(
            f"the snapshot cannot be read ({error}); publish it again with `entrepot apply`"
        ) from None
