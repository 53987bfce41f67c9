"""The retirement calendar: which deployments are of models whose stage changes, and when."""

from collections.abc import Iterable

import msgspec

from entrepot.core.lifecycle import begins_at, stage_at
from entrepot.core.periods import DAY, END_OF_TIME, Instant, format_instant
from entrepot.core.world import World


class Retirement(msgspec.Struct, frozen=True):
    """A deployment and its model's dates; None for one that is not declared. days_left: until it is retired."""

    deployment: str
    customer: str
    model: str
    stage: str
    deprecated_from: str | None
    retired_from: str | None
    days_left: int | None


def retirements(world: World, at: Instant) -> list[Retirement]:
    """The deployments of models that have dates, or are not for all, now; by date of retirement, unknown ones last."""
    models = {model.id: model for model in world.models}
    customers = {project.id: project.customer for project in world.projects}
    found: list[tuple[Instant, Retirement]] = []
    for deployment in world.deployments:
        model = models[deployment.model]
        if model.stage == "general" and not model.stages:
            continue
        retires_at = begins_at(model.stages, "retired")
        row = Retirement(
            deployment=f"{deployment.project}/{deployment.id}",
            customer=customers[deployment.project],
            model=model.id,
            stage=stage_at(model.stage, model.stages, at),
            deprecated_from=_date(begins_at(model.stages, "deprecated")),
            retired_from=_date(retires_at),
            days_left=None if retires_at is None else max(0, -((at - retires_at) // DAY)),
        )
        found.append((END_OF_TIME if retires_at is None else retires_at, row))
    return [row for _, row in sorted(found, key=lambda item: (item[0], item[1].deployment))]


def retirement_rows(rows: Iterable[Retirement]) -> list[list[str]]:
    """The calendar as a table, headed."""
    header = ["deployment", "customer", "model", "stage now", "deprecated from", "retired from", "days left"]
    return [
        header,
        *(
            [
                row.deployment,
                row.customer,
                row.model,
                row.stage,
                row.deprecated_from or "-",
                row.retired_from or "-",
                "-" if row.days_left is None else str(row.days_left),
            ]
            for row in rows
        ),
    ]


def _date(at: Instant | None) -> str | None:
    """The day, or the time where it is not midnight UTC."""
    return None if at is None else format_instant(at).removesuffix("T00:00:00Z")
