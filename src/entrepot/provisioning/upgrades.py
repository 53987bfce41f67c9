"""What a world file says of successors and upgrades, and whether a successor can take its model's place."""

from collections.abc import Iterator, Mapping, Sequence

from entrepot.core.catalog import Model
from entrepot.core.lifecycle import BY_GRANT, UPGRADES, Successor, Upgrade, retired_at, stage_at
from entrepot.core.periods import END_OF_TIME, format_instant
from entrepot.provisioning.draft import Declared
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import MODEL_ID


def read_successor(model: Fields) -> Successor | None:
    """What a model says of its successor; None when it says nothing."""
    fields = model.section("successor", f"successor of {model.what}", ("model", "from"))
    if fields is None:
        return None
    return Successor(fields.identifier("model", MODEL_ID), fields.instant("from", "UTC", END_OF_TIME))


def read_upgrade(deployment: Fields) -> Upgrade | None:
    """When the deployment leaves its model for the successor; None when it says nothing."""
    return deployment.choice("upgrade", UPGRADES) if deployment.has("upgrade") else None


def check_successors(models: Sequence[Declared[Model]]) -> None:
    """Notes a fault where a successor is not there, or could not answer what its model answers when it takes over."""
    by_id = {item.value.id: item.value for item in models}
    for item in models:
        named = item.value.successor
        if named is None or not named.model:
            continue
        if named.model not in by_id:
            known = suggestion(named.model, by_id)
            item.fields.fault(f"successor {named.model!r} is not declared{known}", "successor")
        elif item.value.id in _successors(item.value, by_id):
            item.fields.fault(f"successor {named.model} leads back to it; one model must be the last", "successor")
        else:
            for fault in _obstacles(item.value, named, by_id[named.model]):
                item.fields.fault(f"successor {named.model} {fault}", "successor")


def _successors(model: Model, by_id: Mapping[str, Model]) -> Iterator[str]:
    """The ids of those that follow the model, each once."""
    seen: set[str] = set()
    current: Model | None = model
    while current is not None and current.successor is not None and current.successor.model not in seen:
        seen.add(current.successor.model)
        yield current.successor.model
        current = by_id.get(current.successor.model)


def _obstacles(model: Model, named: Successor, successor: Model) -> Iterator[str]:
    begins = min(named.begins, retired_at(model.stage, model.stages))
    if begins == END_OF_TIME:
        return
    stage = stage_at(successor.stage, successor.stages, begins)
    when = f"on {format_instant(begins)}, when it takes its place" if begins else "when it takes its place"
    if stage in BY_GRANT:
        yield f"is in {stage} {when}; it must be for all by then"
    elif stage == "retired":
        yield f"is retired {when}; name the model that follows it"
    missing = [operation for operation in model.operations if operation not in successor.operations]
    if missing:
        yield f"does not offer {', '.join(missing)}, which deployments of {model.id} may be asked for"
