"""Which deployment a name means, and its upstreams in the order to try them."""

from entrepot.core.catalog import Operation
from entrepot.core.errors import (
    DeploymentNotFound,
    ModelRetired,
    OperationNotSupported,
    UnsupportedValue,
    UpstreamUnavailable,
)
from entrepot.core.periods import SECOND, Instant
from entrepot.core.snapshot import ServedDeployment, ServedProject, Target

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


def order_targets(deployment: ServedDeployment, avoided: Avoided, at: Instant) -> list[Target]:
    """The deployment's targets in order of preference, avoided ones behind the others; at least one.

    Raises: UpstreamUnavailable when there is none.
    """
    targets = deployment.targets
    if not targets:
        raise UpstreamUnavailable(f"No upstream serves the model {deployment.model} now; an administrator can add one.")
    if not avoided or len(targets) == 1:
        return list(targets)
    return sorted(targets, key=lambda target: avoided.holds(target.upstream, at))
