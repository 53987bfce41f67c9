"""Quota: pools of tokens per minute, what deployments have of them, and the limits that their requests meet."""

from collections.abc import Iterator

from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.catalog import Model
from entrepot.core.periods import MINUTE
from entrepot.core.provisioned import GEOGRAPHIES
from entrepot.core.quotas import DEFAULT_RATIO, Quota, RequestRatio, ratio_of
from entrepot.core.tenancy import Deployment, Project
from entrepot.provisioning.draft import Declared, Draft
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID, MODEL_ID

_WINDOWS = {"1s": 1, "10s": 10}


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

    Where a customer has a quota for a model, every standard deployment of the model has its tokens from one.
    """
    projects = {item.value.id: item.value for item in draft.projects}
    customers = {item.value.id for item in draft.customers}
    models = {item.value.id for item in draft.models}
    pools: dict[tuple[str, str], dict[tuple[str, str], Quota]] = {}
    for item in draft.quotas:
        quota = item.value
        for what, name, known in (("customer", quota.customer, customers), ("model", quota.model, models)):
            if name and name not in known:
                item.fields.fault(f"{what} {name!r} is not declared{suggestion(name, known)}", what)
        pools.setdefault((quota.customer, quota.model), {})[quota.region, quota.geography] = quota
    taken: dict[str, list[Deployment]] = {}
    for deployment in draft.deployments:
        value = deployment.value
        project = projects.get(value.project)
        if project is None or value.kind != "standard" or (project.customer, value.model) not in pools:
            continue
        pool = pools[project.customer, value.model].get((value.region or project.region, value.geography))
        if pool is None:
            deployment.fields.fault(_no_quota(value, project), "model")
        else:
            _check_taken(deployment, pool, taken.setdefault(pool.id, []))


def _no_quota(deployment: Deployment, project: Project) -> str:
    region = deployment.region or project.region
    where = f"in the region {region}" if region else "without a region"
    return (
        f"customer {project.customer} has a quota for the model {deployment.model}, but none {where} of geography "
        f"{deployment.geography}; declare one under quotas"
    )


def _check_taken(item: Declared[Deployment], pool: Quota, others: list[Deployment]) -> None:
    """others: what has its tokens from the pool already; the deployment is added to them."""
    asked = item.value.tokens_per_minute
    assigned = sum(other.tokens_per_minute for other in others)
    left = max(0, pool.tokens_per_minute - assigned)
    names = ", ".join(f"{other.project}/{other.id} {other.tokens_per_minute}" for other in others)
    of = f"the quota {pool.id}: {assigned} of {pool.tokens_per_minute} tokens per minute are assigned"
    of += f" ({names}), {left} are left" if names else f", {left} are left"
    if not asked:
        item.fields.fault(f"tokens_per_minute is missing; say how much it has of {of}")
    elif asked > left:
        item.fields.fault(f"tokens_per_minute {asked} is {asked - left} more than is left of {of}", "tokens_per_minute")
    others.append(item.value)


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
