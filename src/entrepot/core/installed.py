"""What provisioned deployments were when: the history that worlds make, one after the other."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from entrepot.core.catalog import Model
from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.provisioned import Geography
from entrepot.core.tenancy import Deployment
from entrepot.core.upgrades import model_at, models_of


class Installed(msgspec.Struct, frozen=True):
    """What a provisioned deployment is from an instant on: its units, and what decides who pays how much."""

    begins: Instant
    units: int
    customer: str = ""
    model: str = ""
    geography: Geography = "global"


# {(project, deployment): what it was, in the order of time}
History = Mapping[tuple[str, str], tuple[Installed, ...]]


def is_provisioned(steps: Iterable[Installed], at: Instant) -> tuple[Instant, Instant, bool]:
    """(from, until, whether there are units) around an instant."""
    begins, units = 0, 0
    for step in steps:
        if step.begins > at:
            return begins, step.begins, units > 0
        begins, units = step.begins, step.units
    return begins, END_OF_TIME, units > 0


def history_after(
    known: History,
    deployments: Iterable[Deployment],
    models: Mapping[str, Model],
    customer_of: Mapping[str, str],
    at: Instant,
) -> History:
    """The history once a world is applied at an instant.

    A dated list of units is the truth from its first date on, past and future; a number without a date holds from the
    instant on, and so does it that a deployment is gone. What was before stays as it was. customer_of: {project: its}.
    """
    history = dict(known)
    declared = {(item.project, item.id): item for item in deployments if item.kind == "provisioned"}
    for key in history.keys() | declared.keys():
        steps = list(_steps(declared[key], models, customer_of[key[0]], at)) if key in declared else [Installed(at, 0)]
        history[key] = _followed(history.get(key, ()), steps)
    return {key: history[key] for key in sorted(history) if history[key]}


def _steps(deployment: Deployment, models: Mapping[str, Model], customer: str, at: Instant) -> Iterator[Installed]:
    """From each change of its units, or of the model that they are of, once it has any."""
    changes = [(change.begins or at, change.units) for change in deployment.units]
    upgrades = models_of(deployment, models)
    for begins in sorted({max(since, changes[0][0]) for since, _ in (*changes, *upgrades)}):
        units = next(units for since, units in reversed(changes) if since <= begins)
        of = model_at(upgrades, begins)
        yield Installed(begins, units, customer, of.model, deployment.geography) if units else Installed(begins, 0)


def _followed(known: Iterable[Installed], steps: list[Installed]) -> tuple[Installed, ...]:
    """What is known before the first step, and the steps; without those that change nothing."""
    found: list[Installed] = []
    state = Installed(0, 0)
    for step in (*(item for item in known if item.begins < steps[0].begins), *steps):
        if msgspec.structs.replace(step, begins=0) != state:
            found.append(step)
            state = msgspec.structs.replace(step, begins=0)
    return tuple(found)
