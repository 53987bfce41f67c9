"""Which upstreams can serve a deployment, and in which order of preference."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from entrepot.core.catalog import Upstream
from entrepot.core.snapshot import Target
from entrepot.core.tenancy import Deployment
from entrepot.core.upstream_rules import Residency
from entrepot.core.world import WorldIndex

Addresses = Mapping[tuple[str, str], str]


def asked_region(index: WorldIndex, deployment: Deployment) -> tuple[str, Residency]:
    """Where the deployment is to be served, by its own words or else its project's."""
    asked = deployment if deployment.region else index.projects[deployment.project]
    return asked.region, asked.residency


def targets_of(
    upstreams: Iterable[Upstream], model: str, addresses: Addresses, asked: tuple[str, Residency]
) -> tuple[Target, ...]:
    """What can serve the model, by rank.

    First what has a share of its requests, before what only stands by; of these what is in the region asked for; of
    these what is inside this machine. A region that is required leaves all others out.
    """
    region, residency = asked
    found: list[tuple[tuple[bool, bool, bool], str, Target]] = []
    for upstream in upstreams:
        base_url = upstream.base_url or addresses.get((upstream.id, model), "")
        elsewhere = bool(region) and upstream.rules.region != region
        if model not in upstream.models or not base_url or (elsewhere and residency == "require"):
            continue
        weight = upstream.weights.get(model, 1)
        target = Target(
            upstream.id,
            base_url,
            upstream.key_env,
            upstream.models[model],
            upstream.usage_lookup,
            upstream.key_file,
            max(weight, 1),
        )
        found.append(((weight == 0, elsewhere, upstream.kind == "openai"), upstream.id, target))
    found.sort(key=lambda item: item[:2])
    ranks = sorted({preference for preference, _, _ in found})
    return tuple(replace(target, rank=ranks.index(preference)) for preference, _, target in found)
