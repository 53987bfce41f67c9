"""The retirement calendar: which deployments are of models whose stage changes, when, and what becomes of them."""

from collections.abc import Iterable, Sequence

import msgspec

from entrepot.core.catalog import Model
from entrepot.core.lifecycle import Upgrade, begins_at, retired_at, stage_at
from entrepot.core.periods import DAY, END_OF_TIME, Instant, format_instant
from entrepot.core.tenancy import Deployment
from entrepot.core.upgrades import ModelFrom, models_of, upgrade_of
from entrepot.core.world import World


class Retirement(msgspec.Struct, frozen=True):
    """A deployment with the model it is of now, and the dates of that; None for one that is not declared.

    days_left: until the model is retired. upgraded_from: the model it was of before, until model_since. Either
    upgraded_to, a model, and upgraded_on, when; or refused_from, when it answers 410; or neither. then: in words.
    """

    deployment: str
    customer: str
    model: str
    stage: str
    deprecated_from: str | None
    retired_from: str | None
    days_left: int | None
    upgrade: Upgrade
    successor: str | None
    upgraded_from: str | None
    model_since: str | None
    upgraded_on: str | None
    upgraded_to: str | None
    refused_from: str | None
    then: str


def retirements(world: World, at: Instant) -> list[Retirement]:
    """The deployments of models that have dates, a successor, or are not for all, now, and those that were upgraded.

    By the date on which something becomes of them, unknown ones last.
    """
    models = {model.id: model for model in world.models}
    customers = {project.id: project.customer for project in world.projects}
    found: list[tuple[Instant, Retirement]] = []
    for deployment in world.deployments:
        following = models_of(deployment, models)
        now = max(number for number, of in enumerate(following) if of.begins <= at)
        model = models[following[now].model]
        if model.stage == "general" and not model.stages and model.successor is None and not now:
            continue
        customer = customers[deployment.project]
        found.append(_row(deployment, customer, model, following, now, at))
    return [row for _, row in sorted(found, key=lambda item: (item[0], item[1].deployment))]


def _row(
    deployment: Deployment, customer: str, model: Model, following: Sequence[ModelFrom], now: int, at: Instant
) -> tuple[Instant, Retirement]:
    """(when something becomes of it, its row)."""
    upgrade = upgrade_of(deployment)
    next_one = following[now + 1] if now + 1 < len(following) else None
    ends = retired_at(model.stage, model.stages)
    refused = END_OF_TIME if next_one is not None else ends
    row = Retirement(
        deployment=f"{deployment.project}/{deployment.id}",
        customer=customer,
        model=model.id,
        stage=stage_at(model.stage, model.stages, at),
        deprecated_from=_date(begins_at(model.stages, "deprecated")),
        retired_from=_date(begins_at(model.stages, "retired")),
        days_left=None if ends == END_OF_TIME else max(0, -((at - ends) // DAY)),
        upgrade=upgrade,
        successor=model.successor.model if model.successor else None,
        upgraded_from=following[now - 1].model if now else None,
        model_since=_date(following[now].begins) if now else None,
        upgraded_on=_date(next_one.begins) if next_one else None,
        upgraded_to=next_one.model if next_one else None,
        refused_from=_date(refused) if 0 < refused < END_OF_TIME else None,
        then=_then(model, upgrade, next_one, refused),
    )
    return (next_one.begins if next_one else refused), row


def _then(model: Model, upgrade: Upgrade, next_one: ModelFrom | None, refused: Instant) -> str:
    if next_one is not None:
        return f"upgraded to {next_one.model} on {_date(next_one.begins)}"
    if refused == END_OF_TIME:
        return "-"
    since = f"410 from {_date(refused)}" if refused else "410"
    return f"{since}: upgrade is {upgrade}" if model.successor else f"{since}: no successor is named"


def retirement_rows(rows: Iterable[Retirement]) -> list[list[str]]:
    """The calendar as a table, headed."""
    header = ["deployment", "customer", "model now", "stage now", "deprecated", "retired", "days left", "then"]
    return [
        header,
        *(
            [
                row.deployment,
                row.customer,
                f"{row.model} since {row.model_since}" if row.model_since else row.model,
                row.stage,
                row.deprecated_from or "-",
                row.retired_from or "-",
                "-" if row.days_left is None else str(row.days_left),
                row.then,
            ]
            for row in rows
        ),
    ]


def _date(at: Instant | None) -> str | None:
    """The day, or the time where it is not midnight UTC."""
    return None if at is None else format_instant(at).removesuffix("T00:00:00Z")
