"""What deployments may use in a minute, beside what they have used in the running hour."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

import msgspec

from entrepot.core.capacity import ServedLimit
from entrepot.core.catalog import Model
from entrepot.core.periods import MINUTE, SECOND, Instant, hour_of
from entrepot.core.provisioned import load_of
from entrepot.core.tenancy import Deployment
from entrepot.core.tokens import BATCH_TIER, CACHED_TIER, TOKEN_METERS
from entrepot.core.upgrades import model_at, models_of
from entrepot.ports.books import Books
from entrepot.provisioning.provisioned import throughput_of
from entrepot.provisioning.quotas import quota_of

# Quantities by meter, by project and deployment.
_Used = dict[tuple[str, str], dict[str, int]]


class DeploymentLimits(msgspec.Struct, frozen=True):
    """A deployment's limits at one moment.

    model: the one that it is of then. tokens: it may use in a minute, of a provisioned one as load; used: on average in
    the running hour. requests: it may begin in requests_s seconds; 0 where they are not counted.
    """

    customer: str
    project: str
    deployment: str
    model: str
    is_provisioned: bool
    tokens: int
    used: int
    requests: int
    requests_s: int


def show_limits(books: Books, at: Instant) -> list[DeploymentLimits]:
    """Deployments that have limits, those first that use the largest part of them."""
    declared = books.world()
    if declared is None:
        return []
    world = declared[1]
    customers = {project.id: project.customer for project in world.projects}
    models = {model.id: model for model in world.models}
    used = _used(books, at)
    found = [
        _limits(limits, deployment, of.model, customers[deployment.project], used, at)
        for deployment, of in ((item, model_at(models_of(item, models), at)) for item in world.deployments)
        if (limits := list(_in_force(deployment, models[of.model], of.begins, at)))
    ]
    return sorted(found, key=lambda item: (-item.used / item.tokens, item.project, item.deployment))


def _in_force(deployment: Deployment, model: Model, since: Instant, at: Instant) -> Iterator[ServedLimit]:
    """since: when the deployment was upgraded to the model."""
    for served in chain(quota_of(deployment, model), throughput_of(deployment, model, since)):
        if served.begins <= at < served.ends:
            yield served


def _limits(
    limits: list[ServedLimit], deployment: Deployment, model: str, customer: str, used: _Used, at: Instant
) -> DeploymentLimits:
    tokens, requests, requests_s, weight = 0, 0, 0, 1
    for served in limits:
        limit = served.limit
        if limit.measure == "requests":
            requests, requests_s = limit.units, limit.window // SECOND
        else:
            tokens, weight = limit.drain or limit.units, served.output_weight
    meters = used[deployment.project, deployment.id]
    is_provisioned = deployment.kind == "provisioned"
    hour = load_of(weight, meters) if is_provisioned else sum(meters.values())
    return DeploymentLimits(
        customer=customer,
        project=deployment.project,
        deployment=deployment.id,
        model=model,
        is_provisioned=is_provisioned,
        tokens=tokens,
        used=hour * MINUTE // max(MINUTE, at - hour_of(at)),
        requests=requests,
        requests_s=requests_s,
    )


def _used(books: Books, at: Instant) -> _Used:
    """Tokens since the hour began that counted against limits."""
    used: _Used = defaultdict(lambda: defaultdict(int))
    for reading in books.readings(hour_of(at), at + 1):
        series = reading.series
        if reading.meter in TOKEN_METERS and series.tier not in {BATCH_TIER, CACHED_TIER}:
            used[series.project, series.deployment][reading.meter] += reading.quantity
    return used
