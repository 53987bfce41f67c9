"""Quota: pools of tokens per minute, what deployments have of them, and the limits that their requests meet."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.catalog import Model
from entrepot.core.periods import END_OF_TIME, MINUTE, Instant, format_instant
from entrepot.core.provisioned import GEOGRAPHIES
from entrepot.core.quotas import DEFAULT_RATIO, Quota, RequestRatio, ratio_of
from entrepot.core.tenancy import Deployment, Project
from entrepot.core.upgrades import ModelFrom, models_of
from entrepot.provisioning.draft import Declared, Draft
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID, MODEL_ID

_WINDOWS = {"1s": 1, "10s": 10}


class _Taken(NamedTuple):
    """What a deployment has of a pool while it is of the pool's model, in [begins, ends)."""

    deployment: Deployment
    begins: Instant
    ends: Instant


def read_ratio(model: Fields) -> RequestRatio | None:
    """The `quota` of a model; None where it says nothing."""
    fields = model.section("quota", f"quota of {model.what}", ("requests", "per_tokens", "request_window"))
    if fields is None:
        return None
    return RequestRatio(
        requests=fields.integer("requests", DEFAULT_RATIO.requests, 1),
        per_tokens=fields.integer("per_tokens", DEFAULT_RATIO.per_tokens, 1),
        window_s=_WINDOWS[fields.choice("request_window", tuple(_WINDOWS), "10s")],
    )


def read_quotas(root: Fields, draft: Draft) -> None:
    """Adds the quotas to the draft."""
    for fields in root.rows("quotas", "quota", ("customer", "model", "region", "geography", "tokens_per_minute")):
        quota = Quota(
            customer=fields.identifier("customer", ID),
            model=fields.identifier("model", MODEL_ID),
            tokens_per_minute=fields.integer("tokens_per_minute"),
            region=fields.identifier("region", ID, ""),
            geography=fields.choice("geography", GEOGRAPHIES, "global"),
        )
        fields.named(quota.id)
        draft.quotas.append(Declared(quota, fields))


def check_quotas(draft: Draft) -> None:
    """Notes a fault at each deployment that a quota does not suffice for.

    Where a customer has a quota for a model, every standard deployment of the model has its tokens from one, from when
    on it is of the model to when it is upgraded from it.
    """
    projects = {item.value.id: item.value for item in draft.projects}
    customers = {item.value.id for item in draft.customers}
    models = {item.value.id: item.value for item in draft.models}
    pools: dict[tuple[str, str], dict[tuple[str, str], Quota]] = {}
    for item in draft.quotas:
        quota = item.value
        for what, name, known in (("customer", quota.customer, customers), ("model", quota.model, models)):
            if name and name not in known:
                item.fields.fault(f"{what} {name!r} is not declared{suggestion(name, known)}", what)
        pools.setdefault((quota.customer, quota.model), {})[quota.region, quota.geography] = quota
    taken: dict[str, list[_Taken]] = {}
    for deployment in draft.deployments:
        value = deployment.value
        project = projects.get(value.project)
        if project is None or value.kind != "standard":
            continue
        for model, its in _by_model(value, models):
            of_model = pools.get((project.customer, model))
            if of_model is None:
                continue
            pool = of_model.get((value.region or project.region, value.geography))
            if pool is None:
                deployment.fields.fault(_no_quota(value, model, project), "model")
            else:
                _check_taken(deployment, its, pool, taken.setdefault(pool.id, []))


def _by_model(deployment: Deployment, models: Mapping[str, Model]) -> Iterator[tuple[str, _Taken]]:
    """(model, what it has while it is of it)."""
    for since, then in pairwise((*models_of(deployment, models), ModelFrom(END_OF_TIME, ""))):
        if since.begins < then.begins:
            yield since.model, _Taken(deployment, since.begins, then.begins)


def _no_quota(deployment: Deployment, model: str, project: Project) -> str:
    region = deployment.region or project.region
    where = f"in the region {region}" if region else "without a region"
    upgraded = "" if model == deployment.model else ", which the deployment is upgraded to"
    return (
        f"customer {project.customer} has a quota for the model {model}{upgraded}, but none {where} of geography "
        f"{deployment.geography}; declare one under quotas"
    )


def _check_taken(item: Declared[Deployment], its: _Taken, pool: Quota, others: list[_Taken]) -> None:
    """others: what has its tokens from the pool already; the deployment is added to them."""
    asked = item.value.tokens_per_minute
    at, having = _fullest(its, others)
    assigned = sum(other.tokens_per_minute for other in having)
    left = max(0, pool.tokens_per_minute - assigned)
    names = ", ".join(f"{other.project}/{other.id} {other.tokens_per_minute}" for other in having)
    when = f"from {format_instant(at)} on " if at else ""
    of = f"the quota {pool.id}: {when}{assigned} of {pool.tokens_per_minute} tokens per minute are assigned"
    of += f" ({names}), {left} are left" if names else f", {left} are left"
    if not asked:
        item.fields.fault(f"tokens_per_minute is missing; say how much it has of {of}")
    elif asked > left:
        item.fields.fault(f"tokens_per_minute {asked} is {asked - left} more than is left of {of}", "tokens_per_minute")
    others.append(its)


def _fullest(its: _Taken, others: Sequence[_Taken]) -> tuple[Instant, list[Deployment]]:
    """When the others have most of a pool meanwhile, and who has of it then; the first such instant."""
    instants = {its.begins, *(other.begins for other in others if its.begins < other.begins < its.ends)}
    having = [
        (at, [other.deployment for other in others if other.begins <= at < other.ends]) for at in sorted(instants)
    ]
    return max(having, key=lambda there: sum(other.tokens_per_minute for other in there[1]))


def quota_of(deployment: Deployment, model: Model) -> Iterator[ServedLimit]:
    """The limits of a deployment's quota; none where it has no tokens_per_minute."""
    if deployment.kind != "standard" or not deployment.tokens_per_minute:
        return
    name = f"{deployment.project}/{deployment.id}"
    units, window = (model.quota or ratio_of(model.id)).limit(deployment.tokens_per_minute)
    requests = Limit(f"quota/{name}/requests", "requests", "window", units, window)
    tokens = Limit(f"quota/{name}/tokens", "tokens", "window", deployment.tokens_per_minute, MINUTE)
    yield ServedLimit(requests, "requests_per_minute", f"the deployment {name}", counts_batches=False)
    yield ServedLimit(tokens, "tokens_per_minute", f"the deployment {name}", counts_batches=False)
