"""Which deployment a name means, and its upstreams in the order to try them."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from entrepot.core.catalog import Operation
from entrepot.core.errors import DeploymentNotFound, ModelRetired, OperationNotSupported, UnsupportedValue
from entrepot.core.periods import SECOND, Instant
from entrepot.core.snapshot import ServedDeployment, ServedProject

# How long an upstream that could not be reached is tried last.
AVOIDED_FOR = 5 * SECOND


def deployment_for(project: ServedProject, name: str, operation: Operation) -> ServedDeployment:
    """The project's deployment of this name. Raises: DeploymentNotFound, OperationNotSupported, ModelRetired."""
    deployment = project.deployments.get(name)
    if deployment is None:
        raise DeploymentNotFound(
            f"The deployment {name[:80]!r} does not exist in this project, or was made moments ago; "
            "GET /v1/models lists what this key may use.",
            param="model",
        )
    if operation not in deployment.operations:
        raise OperationNotSupported(
            f"The operation {operation} does not work with the model {deployment.model} of the deployment {name!r}; "
            f"it offers: {', '.join(deployment.operations)}.",
            param="model",
        )
    if deployment.stage == "retired":
        raise ModelRetired(
            f"The model {deployment.model} of the deployment {name!r} has been retired; "
            "an administrator can point the deployment at a current model.",
            param="model",
        )
    return deployment


def check_tier(deployment: ServedDeployment, tier: str, at: Instant) -> None:
    """Nothing, when the deployment can be used at the tier now. Raises: UnsupportedValue."""
    if not deployment.offers(tier, at):
        raise UnsupportedValue(
            f"The deployment {deployment.name!r} cannot be used at the tier {tier}: the contract has no {tier} price "
            f"for the model {deployment.model}. An administrator can add one, or use a deployment that has one.",
            param="model",
        )


class Avoided:
    """Upstreams that could not be reached of late; they are tried last for AVOIDED_FOR."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[str, Instant] = {}

    def add(self, upstream: str, at: Instant) -> None:
        """The upstream could not be reached."""
        self._until[upstream] = at + AVOIDED_FOR

    def holds(self, upstream: str, at: Instant) -> bool:
        """Whether it is to be tried last."""
        return self._until.get(upstream, 0) > at

    def __bool__(self) -> bool:
        return bool(self._until)


class Reachable(Protocol):
    """Something that goes to an upstream."""

    @property
    def upstream(self) -> str:
        """The upstream's id."""
        ...


WayT = TypeVar("WayT", bound=Reachable)


def in_order(ways: Sequence[WayT], avoided: Avoided, at: Instant) -> Sequence[WayT]:
    """The ways in the order to try them: as declared, but those to upstreams that are avoided now behind the others."""
    if len(ways) < 2 or not avoided:
        return ways
    return sorted(ways, key=lambda way: avoided.holds(way.upstream, at))
