"""Which deployment a name means, and whether it can be used so."""

from collections.abc import Iterator
from typing import Protocol

from entrepot.core.catalog import Operation
from entrepot.core.errors import (
    DeploymentNotFound,
    InvalidRequest,
    ModelRetired,
    OperationNotSupported,
    PermissionDenied,
    UnsupportedValue,
)
from entrepot.core.lifecycle import retired_at
from entrepot.core.periods import Instant, format_instant
from entrepot.core.snapshot import ServedDeployment, ServedProject


class Asking(Protocol):
    """An operation as it is asked for."""

    @property
    def offered(self) -> Operation:
        """What a model must offer for it."""
        ...

    @property
    def model_optional(self) -> bool:
        """Whether its API lets the model be left out."""
        ...


def deployment_for(project: ServedProject, name: str, operation: Operation, at: Instant) -> ServedDeployment:
    """The project's deployment of this name, of the model that it has been upgraded to by then.

    Raises: DeploymentNotFound, OperationNotSupported, ModelRetired, PermissionDenied.
    """
    deployment = project.deployment(name, at) if project.upgrades else project.deployments.get(name)
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
    if deployment.usable is not None and not deployment.has_units(at):
        raise DeploymentNotFound(
            f"The deployment {name!r} has no provisioned units now; an administrator can give it some.", param="model"
        )
    return deployment


def is_plain(project: ServedProject, deployment: ServedDeployment) -> bool:
    """Whether deployment_for gives the deployment at any instant, for each of its operations, and nothing is to be said
    of its model.
    """
    is_for_all = deployment.stage == "general" and not deployment.stages and deployment.usable is None
    return is_for_all and not deployment.upgraded_from and deployment.name not in project.upgrades


def only_deployment(project: ServedProject, asked: Asking, at: Instant) -> str:
    """The deployment that a request without a model means, where the API lets it name none. Raises: InvalidRequest."""
    able = [item.name for item in project.in_use(at).values() if asked.offered in item.operations]
    if not asked.model_optional or len(able) != 1:
        raise InvalidRequest("model is missing; it names the deployment to use.", param="model")
    return able[0]


def check_stage(deployment: ServedDeployment, at: Instant) -> None:
    """Nothing, when the customer may use it by its model's stage. Raises: ModelRetired, PermissionDenied."""
    if deployment.admits(at):
        return
    stage = deployment.stage_at(at)
    if stage == "retired":
        raise ModelRetired(_retired(deployment), param="model")
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


def keepers_of(project: ServedProject, at: Instant, *, to_remove: bool) -> Iterator[ServedDeployment]:
    """The deployments, as they are and were, whose upstreams may keep responses of the project.

    What they keep can be removed for as long as they are declared, and read while their models may be used.
    """
    for deployment in project.as_ever(at):
        if "responses" in deployment.operations and (to_remove or deployment.admits(at)):
            yield deployment


def check_service_tier(deployment: ServedDeployment, tier: str, at: Instant) -> None:
    """Nothing, when a request may choose the tier of service now. Raises: UnsupportedValue."""
    if tier == "default":
        return
    tiers = deployment.service_tiers
    offered = [] if tiers is None else [name for name in tiers.__struct_fields__ if getattr(tiers, name) is not None]
    priced = [name for name in offered if deployment.offers(name, at)]
    if tier not in priced:
        raise UnsupportedValue(
            f"The deployment {deployment.name!r} of the model {deployment.model} does not have the service tier "
            f"{tier[:40]!r} now; it has: {', '.join(('auto', 'default', *priced))}.",
            param="service_tier",
        )


def spillover_of(
    project: ServedProject, deployment: ServedDeployment, asked: str, at: Instant
) -> ServedDeployment | None:
    """The deployment that answers what this one is too full for: the one declared, else the one the request asks for.

    Raises: InvalidRequest.
    """
    if deployment.spillover or not asked:
        return project.deployment(deployment.spillover, at)
    found = project.deployment(asked, at)
    if found is None or found.usable is not None or found.model != deployment.model:
        raise InvalidRequest(
            f"x-ms-spillover-deployment names {asked[:80]!r}; it must be a standard deployment of the model "
            f"{deployment.model} in this project."
        )
    return found


def _retired(deployment: ServedDeployment) -> str:
    """That the model is retired, since when, and what can be done."""
    retired = retired_at(deployment.stage, deployment.stages)
    since = f" since {format_instant(retired)}" if retired else ""
    said = f"The model {deployment.model} of the deployment {deployment.name!r} is retired{since}"
    if deployment.successor is None:
        return f"{said}, and no successor is named; an administrator can point the deployment at a current model."
    return (
        f"{said}. Its successor is {deployment.successor.model}, and the deployment is not upgraded by itself; an "
        "administrator can point it at that model, or change its `upgrade`."
    )
