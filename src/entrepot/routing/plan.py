"""Which deployment a name means, and whether it can be used so."""

from entrepot.core.catalog import Operation
from entrepot.core.errors import (
    DeploymentNotFound,
    InvalidRequest,
    ModelRetired,
    OperationNotSupported,
    PermissionDenied,
    UnsupportedValue,
)
from entrepot.core.periods import Instant
from entrepot.core.snapshot import ServedDeployment, ServedProject


def deployment_for(project: ServedProject, name: str, operation: Operation, at: Instant) -> ServedDeployment:
    """The project's deployment of this name.

    Raises: DeploymentNotFound, OperationNotSupported, ModelRetired, PermissionDenied.
    """
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
    if deployment.stage != "general" or deployment.stages:
        check_stage(deployment, at)
    return deployment


def check_stage(deployment: ServedDeployment, at: Instant) -> None:
    """Nothing, when the customer may use it by its model's stage. Raises: ModelRetired, PermissionDenied."""
    stage = deployment.stage_at(at)
    if stage == "retired":
        raise ModelRetired(
            f"The model {deployment.model} of the deployment {deployment.name!r} has been retired; "
            "an administrator can point the deployment at a current model.",
            param="model",
        )
    if not deployment.admits(at):
        raise PermissionDenied(
            f"The model {deployment.model} of the deployment {deployment.name!r} is in {stage.replace('_', ' ')}, and "
            "this customer has no grant for it now; the operator can give one.",
            param="model",
        )


def check_tier(deployment: ServedDeployment, tier: str, at: Instant) -> None:
    """Nothing, when the deployment can be used at the tier now. Raises: UnsupportedValue."""
    if tier != "default" and not deployment.offers(tier, at):  # Nearly always; the default needs no price of its own.
        raise UnsupportedValue(
            f"The deployment {deployment.name!r} cannot be used at the tier {tier}: the contract has no {tier} price "
            f"for the model {deployment.model}. An administrator can add one, or use a deployment that has one.",
            param="model",
        )


def check_usable(deployment: ServedDeployment, at: Instant) -> None:
    """Nothing, when the deployment has units now. Raises: DeploymentNotFound."""
    if deployment.usable is not None and not any(begins <= at < ends for begins, ends in deployment.usable):
        raise DeploymentNotFound(
            f"The deployment {deployment.name!r} has no provisioned units now; an administrator can give it some.",
            param="model",
        )


def spillover_of(project: ServedProject, deployment: ServedDeployment, asked: str) -> ServedDeployment | None:
    """The deployment that answers what this one is too full for: the one declared, else the one the request asks for.

    Raises: InvalidRequest.
    """
    if deployment.spillover or not asked:
        return project.deployments.get(deployment.spillover)
    found = project.deployments.get(asked)
    if found is None or found.usable is not None or found.model != deployment.model:
        raise InvalidRequest(
            f"x-ms-spillover-deployment names {asked[:80]!r}; it must be a standard deployment of the model "
            f"{deployment.model} in this project."
        )
    return found
