"""Tiers of service in a world file: what a model is offered at, and the tier that a deployment has by default."""

from collections.abc import Iterable
from typing import get_args

from entrepot.core.catalog import Model, Upstream
from entrepot.core.service_tiers import FlexRules, PriorityRules, ServiceTier, ServiceTiers
from entrepot.core.tenancy import Deployment
from entrepot.core.upgrades import models_of
from entrepot.provisioning.draft import Declared
from entrepot.provisioning.fields import Fields

_TIERS: tuple[ServiceTier, ...] = get_args(ServiceTier)


def read_service_tiers(model: Fields) -> ServiceTiers | None:
    """The `service_tiers` of a model; None when it says nothing."""
    fields = model.section("service_tiers", f"service_tiers of {model.what}", ("priority", "flex"))
    if fields is None:
        return None
    return ServiceTiers(_read_priority(fields), _read_flex(fields))


def _read_priority(tiers: Fields) -> PriorityRules | None:
    fields = tiers.section("priority", f"priority of {tiers.what}", PriorityRules.__struct_fields__)
    if fields is None:
        return None
    default = PriorityRules()
    return PriorityRules(**{name: fields.integer(name, getattr(default, name)) for name in default.__struct_fields__})


def _read_flex(tiers: Fields) -> FlexRules | None:
    fields = tiers.section("flex", f"flex of {tiers.what}", FlexRules.__struct_fields__)
    if fields is None:
        return None
    rules = FlexRules(fields.integer("busy_percent_max", FlexRules().busy_percent_max, 1))
    if rules.busy_percent_max > 100:
        fields.fault("busy_percent_max must be at most 100", "busy_percent_max")
    return rules


def read_service_tier(deployment: Fields) -> ServiceTier:
    """The tier that the deployment's requests are served at where they do not say."""
    return deployment.choice("service_tier", _TIERS, "default")


def check_service_tiers(
    models: Iterable[Declared[Model]],
    upstreams: Iterable[Declared[Upstream]],
    deployments: Iterable[Declared[Deployment]],
) -> None:
    """Notes a fault where it cannot be known whether a tier's rules are met, or a default tier is not offered."""
    by_id = {item.value.id: item.value for item in models}
    offered = {name: model.service_tiers or ServiceTiers() for name, model in by_id.items()}
    for model in models:
        tiers = offered[model.value.id]
        if tiers.priority is not None and tiers.priority.prompt_tokens_max and not model.value.tokenizer:
            model.fields.fault("priority: prompt_tokens_max needs a tokenizer to count prompts with", "service_tiers")
        for upstream in upstreams:
            if tiers.flex and model.value.id in upstream.value.models and not upstream.value.rules.max_concurrent:
                upstream.fields.fault(
                    f"it serves {model.value.id}, which is offered at flex: max_concurrent must say how many requests "
                    "it takes at a time, so that it is known when some of that is spare"
                )
    for deployment in deployments:
        tier = deployment.value.service_tier
        if tier == "default" or deployment.value.model not in offered:
            continue
        if deployment.value.kind == "provisioned":
            deployment.fields.fault("provisioned deployments have no tiers of service", "service_tier")
            continue
        for of in models_of(deployment.value, by_id):
            if getattr(offered[of.model], tier) is None:
                which = of.model if of.model == deployment.value.model else f"{of.model}, which it is upgraded to,"
                deployment.fields.fault(
                    f"the model {which} is not offered at {tier}; a model says what it is under service_tiers",
                    "service_tier",
                )
