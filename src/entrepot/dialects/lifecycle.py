"""What lists of models say of a model's life, in Azure's words, and of the deployment's, in ours."""

from entrepot.core.lifecycle import Stage, begins_at
from entrepot.core.periods import END_OF_TIME, SECOND, Instant
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
    described |= describe_upgrades(deployment)
    return described


def describe_upgrades(deployment: ServedDeployment) -> dict[str, object]:
    """Which model it is of, where that is another one than before or will be one; nothing of others."""
    told: dict[str, object] = {}
    if deployment.upgraded_from:
        told["upgraded_from"] = deployment.upgraded_from
    following = deployment.successor
    if following is not None and following.begins != END_OF_TIME:
        told["upgrade"] = {"model": following.model, "at": following.begins // SECOND}
    return {"entrepot": {"model": deployment.model, **told}} if told else {}
