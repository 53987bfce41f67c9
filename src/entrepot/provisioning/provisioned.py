"""Provisioned throughput in a world file: how models are sized, what deployments have, and whether the two agree."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from entrepot.core.capacity import ServedLimit
from entrepot.core.catalog import Model
from entrepot.core.periods import END_OF_TIME, MINUTE, Instant, format_instant
from entrepot.core.provisioned import (
    DEFAULT_SIZING,
    GEOGRAPHIES,
    SizingRule,
    UnitsFrom,
    nearest_units,
    sizing_at,
    throughput_limit,
)
from entrepot.core.tenancy import Deployment
from entrepot.core.upgrades import models_of
from entrepot.provisioning.draft import Declared, Draft
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields

SIZING_KEYS = ("from", "geography", "minimum", "step", "input_tokens_per_minute_per_unit", "output_weight", "burst_s")
PROVISIONED_KEYS = ("units", "spillover")


def read_sizing(model: Fields) -> tuple[SizingRule, ...]:
    """The rules under `provisioned` of a model, of which there may be one or a list."""
    if not model.has("provisioned"):
        return ()
    what = f"provisioned of {model.what}"
    if model.is_mapping("provisioned"):
        section = model.section("provisioned", what, SIZING_KEYS)
        rows = [section] if section else []
    else:
        rows = model.rows("provisioned", what, SIZING_KEYS, required=True)
    rules: list[SizingRule] = []
    for fields in rows:
        rule = SizingRule(
            minimum=fields.integer("minimum", minimum=1),
            step=fields.integer("step", minimum=1),
            input_tokens_per_minute=fields.integer("input_tokens_per_minute_per_unit", 0, 1),
            output_weight=fields.integer("output_weight", 1, 1),
            geography=fields.choice("geography", GEOGRAPHIES) if fields.has("geography") else None,
            begins=fields.instant("from", "UTC", 0),
            burst_s=fields.integer("burst_s", 10, 1),
        )
        if any((rule.geography, rule.begins) == (other.geography, other.begins) for other in rules):
            fields.fault("there is another rule for the same geography from the same time on", "from")
        rules.append(rule)
    return tuple(sorted(rules, key=lambda rule: (rule.geography or "", rule.begins)))


def read_units(deployment: Fields) -> tuple[UnitsFrom, ...]:
    """The units of a deployment: a number, or a list of {from, units} in the order of time."""
    if not deployment.has("units"):
        return ()
    if not deployment.is_list("units"):
        return (UnitsFrom(0, deployment.integer("units")),)
    changes: list[UnitsFrom] = []
    for fields in deployment.rows("units", f"units of {deployment.what}", ("from", "units"), required=True):
        change = UnitsFrom(fields.instant("from", "UTC"), fields.integer("units"))
        if change.begins % MINUTE:
            fields.fault("from must be a whole minute, for units are charged by the minute", "from")
        changes.append(change)
    if any(later.begins <= earlier.begins for earlier, later in pairwise(changes)):
        deployment.fault("units must be in the order of time, each from later than the one before", "units")
    if not changes:
        deployment.fault("units must have at least one {from, units}", "units")
    return tuple(changes)


def check_capacity(deployments: Sequence[Declared[Deployment]], models: Mapping[str, Model]) -> None:
    """Notes a fault where units are missing, too few or off the step, or spillover leads where it may not."""
    by_name = {(item.value.project, item.value.id): item.value for item in deployments}
    for item in deployments:
        value = item.value
        if value.kind == "standard":
            for key in PROVISIONED_KEYS:
                if item.fields.has(key):
                    item.fields.fault(f"{key} is for deployments of kind provisioned", key)
            continue
        if not item.fields.has("units"):
            item.fields.fault("units is missing: how many it has, or a list of {from, units}")
        if value.model in models:
            upgrades = models_of(value, models)
            for of, ends in zip(upgrades, [*(later.begins for later in upgrades[1:]), END_OF_TIME], strict=True):
                _check_units(item, models[of.model], of.begins, ends)
            _check_spillover(item, models[value.model], by_name)


def check_agreed(draft: Draft) -> None:
    """Notes a fault where units begin when no contract says what they cost."""
    customers = {item.value.id: item.value.customer for item in draft.projects}
    contracts = draft.contracts_by_customer()
    for item in draft.deployments:
        customer = customers.get(item.value.project, "")
        agreed = contracts.get(customer, [])
        for change in item.value.units:
            held = any(contract.effective_from <= change.begins < contract.effective_to for contract in agreed)
            if agreed and change.units and change.begins and not held:
                item.fields.fault(
                    f"its units begin on {format_instant(change.begins)}, when customer {customer} has no contract",
                    "units",
                )


def throughput_of(deployment: Deployment, model: Model, since: Instant = 0) -> Iterator[ServedLimit]:
    """The limit of a provisioned deployment, for each time between changes of its units; none where what a unit does
    is not declared. since: when it is upgraded to the model.
    """
    name = f"{deployment.project}/{deployment.id}"
    for begins, ends, units in _spans(deployment):
        rule = sizing_at(model.provisioned, deployment.geography, max(begins, since) or END_OF_TIME)
        if units and rule is not None and rule.input_tokens_per_minute:
            limit = throughput_limit(f"provisioned/{name}", rule, units)
            whose = f"the deployment {name}"
            yield ServedLimit(
                limit, "provisioned_units", whose, output_weight=rule.output_weight, begins=begins, ends=ends
            )


def usable(deployment: Deployment) -> tuple[tuple[Instant, Instant], ...] | None:
    """From when to when a provisioned deployment has units; None for another, which is there always."""
    if deployment.kind != "provisioned":
        return None
    return tuple((begins, ends) for begins, ends, units in _spans(deployment) if units)


def _spans(deployment: Deployment) -> Iterator[tuple[Instant, Instant, int]]:
    ends = [change.begins for change in deployment.units[1:]] + [END_OF_TIME]
    for change, until in zip(deployment.units, ends, strict=False):  # There may be no units at all.
        yield change.begins, until, change.units


def _check_units(item: Declared[Deployment], model: Model, since: Instant, until: Instant) -> None:
    """A number without a date is held to the newest rule, a dated one to the rule in force then.

    since, until: when the deployment is of the model.
    """
    geography = item.value.geography
    for begins, ends, units in _spans(item.value):
        if not units or begins >= until or ends <= since:
            continue
        at = max(begins, since)
        rule = sizing_at(model.provisioned, geography, at or END_OF_TIME)
        of = f"a {geography} provisioned deployment of model {model.id}"
        when = f" from {format_instant(at)}" if at else ""
        if rule is None:
            item.fields.fault(f"{of} is not available{when}: no rule of the model covers it", "units")
        elif units not in nearest_units(rule, units):
            known = "" if rule is not DEFAULT_SIZING else f" (model {model.id} declares no `provisioned` of its own)"
            item.fields.fault(
                f"{units} units{when} are not possible: {of} has at least {rule.minimum}, in steps of "
                f"{rule.step}{known}",
                "units",
            )


def _check_spillover(item: Declared[Deployment], model: Model, by_name: Mapping[tuple[str, str], Deployment]) -> None:
    value = item.value
    if not value.spillover:
        return
    target = by_name.get((value.project, value.spillover))
    if target is None:
        names = [name for project, name in by_name if project == value.project and name != value.id]
        known = suggestion(value.spillover, names)
        item.fields.fault(f"project {value.project} has no deployment {value.spillover!r}{known}", "spillover")
    elif target.kind != "standard":
        item.fields.fault(f"{value.spillover} is provisioned itself; spillover must be a standard one", "spillover")
    elif target.model not in {value.model, *model.compatible}:
        item.fields.fault(
            f"{value.spillover} is of model {target.model}; it must be of {value.model}, or of a model that is named "
            f"under `compatible` of {value.model}",
            "spillover",
        )
    elif GEOGRAPHIES.index(target.geography) < GEOGRAPHIES.index(value.geography):
        item.fields.fault(
            f"{value.spillover} is {target.geography}, and requests of a {value.geography} deployment may not go there",
            "spillover",
        )
