"""World and keys -> what a gateway serves from."""

from collections.abc import Iterable, Iterator

import msgspec

from entrepot.core.catalog import Model, Upstream
from entrepot.core.lifecycle import Successor
from entrepot.core.periods import END_OF_TIME, Instant, format_instant
from entrepot.core.snapshot import (
    SCHEMA,
    GatewaySnapshot,
    ServedDeployment,
    ServedKey,
    ServedPrincipal,
    ServedProject,
    UpgradedTo,
)
from entrepot.core.tenancy import ApiKey, Deployment
from entrepot.core.upgrades import ModelFrom, models_of
from entrepot.core.world import World, WorldIndex
from entrepot.provisioning.budgets import owned_budgets, prices_in_force, shown_currencies
from entrepot.provisioning.checks import OWN
from entrepot.provisioning.lifecycle import granted
from entrepot.provisioning.provisioned import throughput_of, usable
from entrepot.provisioning.quotas import quota_of
from entrepot.provisioning.targets import Addresses, asked_region, targets_of
from entrepot.provisioning.tiers import offered_tiers


def compile_snapshot(
    world: World, keys: Iterable[ApiKey], addresses: Addresses, *, version: int, at: Instant
) -> GatewaySnapshot:
    """The snapshot of a world and its keys.

    addresses: {(upstream, model): base URL} of the models that run inside this machine; one that does not run now has
    no target, and its deployments are refused as unavailable until it does. Revoked keys are left out.
    """
    shown = shown_currencies(world)
    projects = {
        project.id: ServedProject(
            id=project.id,
            customer=project.customer,
            deployments={},
            upgrades={},
            costs_in=shown.get(project.customer, ""),
        )
        for project in world.projects
    }
    index = WorldIndex(world)
    good = [key for key in keys if key.revoked_at == END_OF_TIME and key.project in projects]
    budgets = [owned for owned in owned_budgets(world, good) if owned.budget.mode == "hard"]
    counted = shown.keys() | {owned.customer for owned in budgets if owned.budget.measure == "money"}
    for deployment in world.deployments:
        project = projects[deployment.project]
        first, *later = _versions(index, deployment, addresses, is_counted=project.customer in counted)
        project.deployments[deployment.id] = first.deployment
        if later:
            project.upgrades[deployment.id] = tuple(later)
    return GatewaySnapshot(
        schema=SCHEMA,
        version=version,
        published_at=format_instant(at),
        projects=projects,
        keys={key.digest: ServedKey(key.id, key.project) for key in good},
        identity_providers=world.identity_providers,
        principals={item.id: ServedPrincipal(item.project, item.role, item.issuer) for item in world.principals},
        upstreams={upstream.id: upstream.rules for upstream in world.upstreams},
        budgets=tuple(budgets),
    )


def local_models(world: World) -> dict[tuple[str, str], tuple[str, str]]:
    """{(upstream, model): (kind, the engine's name of the model)} of what must run inside this machine."""
    return {
        (upstream.id, model): (upstream.kind, name)
        for upstream in world.upstreams
        if upstream.kind != "openai"
        for model, name in upstream.models.items()
    }


def unserved(world: World) -> Iterator[str]:
    """A sentence for each deployment that no upstream can serve."""
    served = {model for upstream in world.upstreams for model in upstream.models}
    models = {model.id: model for model in world.models}
    for deployment in world.deployments:
        for since in models_of(deployment, models):
            if since.model not in served:
                when = f" from {format_instant(since.begins)} on" if since.begins else ""
                yield (
                    f"deployment {deployment.project}/{deployment.id}: no upstream serves model {since.model}, "
                    f"so its requests will be refused{when}"
                )


def _versions(
    index: WorldIndex, deployment: Deployment, addresses: Addresses, *, is_counted: bool
) -> Iterator[UpgradedTo]:
    """What the deployment is, and what it is upgraded to, in the order of time. is_counted: its customer's money is."""
    found = models_of(deployment, index.models)
    for number, since in enumerate(found):
        ends = found[number + 1].begins if number + 1 < len(found) else END_OF_TIME
        before = found[number - 1].model if number else ""
        served = _served(index, deployment, since, addresses, is_counted=is_counted)
        named = index.models[since.model].successor
        successor = None if named is None else Successor(named.model, ends)
        yield UpgradedTo(since.begins, msgspec.structs.replace(served, successor=successor, upgraded_from=before))


def _served(
    index: WorldIndex, deployment: Deployment, since: ModelFrom, addresses: Addresses, *, is_counted: bool
) -> ServedDeployment:
    """The deployment while it is of a model."""
    world, model, customer = index.world, index.models[since.model], index.projects[deployment.project].customer
    return ServedDeployment(
        name=deployment.id,
        model=model.id,
        owned_by=world.operator.name if model.partner == OWN else model.partner,
        stage=model.stage,
        context_tokens=model.context_tokens,
        operations=model.operations,
        targets=targets_of(world.upstreams, model.id, addresses, asked_region(index, deployment)),
        tiers=offered_tiers(index, customer, model),
        cache=deployment.cache,
        revision=_revision(world.upstreams, model),
        routing=deployment.routing or model.routing,
        limits=(*quota_of(deployment, model), *throughput_of(deployment, model, since.begins)),
        tokenizer=model.tokenizer,
        prices=prices_in_force(index, customer, model.id) if is_counted else (),
        usable=usable(deployment),
        spillover=deployment.spillover,
        stages=model.stages,
        granted=granted(model, customer),
        queue=deployment.queue,
        service_tiers=model.service_tiers if deployment.kind == "standard" else None,
        service_tier="" if deployment.service_tier == "default" else deployment.service_tier,
    )


def _revision(upstreams: Iterable[Upstream], model: Model) -> str:
    """What answers for a model, in one line."""
    served = [f"{upstream.id}={upstream.models[model.id]}" for upstream in upstreams if model.id in upstream.models]
    return " ".join((f"{model.id}@{model.version}", *served))
