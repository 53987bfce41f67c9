"""What a deployment is of, and from when: the model it was declared with, then each successor that it is upgraded to.

Dates that were declared long before decide, so that what a deployment is at an instant is the same wherever and
whenever it is asked: in the snapshot, in the history of units, in the calendar.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from entrepot.core.catalog import Model
from entrepot.core.lifecycle import Upgrade, retired_at
from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.tenancy import Deployment


class ModelFrom(NamedTuple):
    """The model that a deployment is of from an instant on."""

    begins: Instant
    model: str


def upgrade_of(deployment: Deployment) -> Upgrade:
    """When the deployment leaves its model for a successor; one that is provisioned says so itself, or never does."""
    return deployment.upgrade or ("never" if deployment.kind == "provisioned" else "on_retirement")


def models_of(deployment: Deployment, models: Mapping[str, Model]) -> tuple[ModelFrom, ...]:
    """The models of the deployment in the order of time; of several from the same instant on, the last one counts."""
    upgrade = upgrade_of(deployment)
    found = [ModelFrom(0, deployment.model)]
    while (model := models.get(found[-1].model)) is not None and model.successor is not None:
        begins, successor = max(_leaves_at(model, upgrade), found[-1].begins), model.successor.model
        if begins == END_OF_TIME or successor not in models or any(item.model == successor for item in found):
            break
        found.append(ModelFrom(begins, successor))
    return tuple(found)


def model_at(upgrades: Sequence[ModelFrom], at: Instant) -> ModelFrom:
    """What models_of() found that is in force at the instant."""
    return next(of for of in reversed(upgrades) if of.begins <= at)


def _leaves_at(model: Model, upgrade: Upgrade) -> Instant:
    if model.successor is None or upgrade == "never":
        return END_OF_TIME
    retired = retired_at(model.stage, model.stages)
    return min(retired, model.successor.begins) if upgrade == "on_new_default" else retired
