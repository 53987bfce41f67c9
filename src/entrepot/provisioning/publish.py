"""World and keys -> what a gateway serves from."""

from collections.abc import Iterable, Iterator

from entrepot.core.catalog import Model, Upstream
from entrepot.core.costs import PricesInForce
from entrepot.core.periods import END_OF_TIME, Instant, format_instant
from entrepot.core.snapshot import SCHEMA, GatewaySnapshot, ServedDeployment, ServedPrincipal, ServedProject, Target
from entrepot.core.tenancy import ApiKey, Deployment
from entrepot.core.world import World, WorldIndex
from entrepot.provisioning.budgets import owned_budgets, prices_in_force
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
    projects = {
        project.id: ServedProject(id=project.id, customer=project.customer, deployments={})
        for project in world.projects
    }
    index = WorldIndex(world)
    good = [key for key in keys if key.revoked_at == END_OF_TIME and key.project in projects]
    budgets = [owned for owned in owned_budgets(world, good) if owned.budget.mode == "hard"]
    counted = {owned.customer for owned in budgets if owned.budget.measure == "money"}
    for deployment in world.deployments:
        project = projects[deployment.project]
        model = index.models[deployment.model]
        targets = targets_of(world.upstreams, model.id, addresses, asked_region(index, deployment))
        prices = prices_in_force(index, project.customer, model.id) if project.customer in counted else ()
        project.deployments[deployment.id] = _served(index, project.customer, deployment, model, targets, prices)
    return GatewaySnapshot(
        schema=SCHEMA,
        version=version,
        published_at=format_instant(at),
        projects=projects,
        keys={key.digest: (key.id, key.project) for key in good},
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
    for deployment in world.deployments:
        if deployment.model not in served:
            yield (
                f"deployment {deployment.project}/{deployment.id}: no upstream serves model {deployment.model}, "
                "so its requests will be refused"
            )


def _served(
    index: WorldIndex,
    customer: str,
    deployment: Deployment,
    model: Model,
    targets: tuple[Target, ...],
    prices: tuple[PricesInForce, ...],
) -> ServedDeployment:
    world = index.world
    return ServedDeployment(
        name=deployment.id,
        model=model.id,
        owned_by=world.operator.name if model.partner == OWN else model.partner,
        stage=model.stage,
        context_tokens=model.context_tokens,
        operations=model.operations,
        targets=targets,
        tiers=offered_tiers(index, customer, model),
        cache=deployment.cache,
        revision=_revision(world.upstreams, model),
        routing=deployment.routing or model.routing,
        limits=(*quota_of(deployment, model), *throughput_of(deployment, model)),
        tokenizer=model.tokenizer,
        prices=prices,
        usable=usable(deployment),
        spillover=deployment.spillover,
        stages=model.stages,
        granted=granted(model, customer),
        queue=deployment.queue,
    )


def _revision(upstreams: Iterable[Upstream], model: Model) -> str:
    """What answers for a model, in one line."""
    served = [f"{upstream.id}={upstream.models[model.id]}" for upstream in upstreams if model.id in upstream.models]
    return " ".join((f"{model.id}@{model.version}", *served))
