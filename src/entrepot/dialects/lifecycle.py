"""What lists of models say of a model's life, in Azure's words."""

from entrepot.core.lifecycle import Stage, begins_at
from entrepot.core.periods import SECOND, Instant
from entrepot.core.snapshot import ServedDeployment

_STATUS: dict[Stage, str] = {
    "preview": "preview",
    "early_access": "preview",
    "general": "generally-available",
    "deprecated": "deprecated",
    "retired": "deprecated",
}


def describe_lifecycle(deployment: ServedDeployment, at: Instant) -> dict[str, object]:
    """Its status now, and in seconds since the epoch when inference ends, where a date is known."""
    described: dict[str, object] = {"lifecycle_status": _STATUS[deployment.stage_at(at)]}
    retires_at = begins_at(deployment.stages, "retired")
    if retires_at is not None:
        described["deprecation"] = {"inference": retires_at // SECOND}
    return described
