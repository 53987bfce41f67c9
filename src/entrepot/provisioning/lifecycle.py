"""The life of a model in a world file: dated stages, and who may use it before it is for all."""

from collections.abc import Collection
from itertools import pairwise

from entrepot.core.catalog import Model
from entrepot.core.lifecycle import STAGES, Access, Stage, StageFrom
from entrepot.core.periods import END_OF_TIME
from entrepot.core.snapshot import Window
from entrepot.provisioning.draft import Declared
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID

LIFECYCLE_KEYS = ("stage", "stages", "access")


def read_stage(model: Fields) -> Stage:
    """The stage a model is in until the first of its `stages`."""
    return model.choice("stage", STAGES, "general")


def read_stages(model: Fields) -> tuple[StageFrom, ...]:
    """The rows under `stages` of a model, in the order of time; each goes on in its life."""
    changes: list[StageFrom] = []
    stage = read_stage(model) if model.has("stages") else "general"
    for fields in model.rows("stages", f"stages of {model.what}", ("stage", "from")):
        change = StageFrom(fields.instant("from", "UTC"), fields.choice("stage", STAGES))
        if STAGES.index(change.stage) <= STAGES.index(stage):
            fields.fault(
                f"{change.stage} cannot follow {stage}: a model goes from {' to '.join(STAGES)}, and `stage` "
                "(general, when it says nothing) is what it is before the first of `stages`",
                "stage",
            )
        stage = change.stage
        changes.append(change)
    if any(later.begins <= earlier.begins for earlier, later in pairwise(changes)):
        model.fault("stages must be in the order of time, each from later than the one before", "stages")
    return tuple(changes)


def read_access(model: Fields) -> tuple[Access, ...]:
    """The rows under `access` of a model."""
    granted: list[Access] = []
    for fields in model.rows("access", f"access to {model.what}", ("customer", "from", "to")):
        access = Access(
            fields.identifier("customer", ID),
            fields.instant("from", "UTC", 0),
            fields.instant("to", "UTC", END_OF_TIME),
        )
        if access.ends <= access.begins:
            fields.fault("to must be later than from", "to")
        granted.append(access)
    return tuple(granted)


def check_access(models: Collection[Declared[Model]], customers: Collection[str]) -> None:
    """Notes a fault where a grant names a customer that is not declared."""
    for model in models:
        for access in model.value.access:
            if access.customer and access.customer not in customers:
                known = suggestion(access.customer, customers)
                model.fields.fault(f"access: customer {access.customer!r} is not declared{known}", "access")


def granted(model: Model, customer: str) -> tuple[Window, ...]:
    """When the customer may use the model though it is not for all yet."""
    return tuple((access.begins, access.ends) for access in model.access if access.customer == customer)
