"""Most sections of a world file: mapping -> value, faults noted. What a value refers to is checked in checks.py."""

import re
from typing import get_args

import msgspec

from entrepot.core.catalog import Model, Operation, Partner, Upstream, UpstreamKind
from entrepot.core.exchange import ExchangeRate
from entrepot.core.money import Rounding
from entrepot.core.provisioned import GEOGRAPHIES
from entrepot.core.quotas import TOKENIZERS
from entrepot.core.tenancy import Customer, Deployment, DeploymentKind, IdentityProvider, Principal, Project, Role
from entrepot.core.upstream_rules import PoolRules
from entrepot.core.world import Operator
from entrepot.provisioning.budgets import read_budget, read_prepaid
from entrepot.provisioning.caches import read_cache
from entrepot.provisioning.charges import read_charges
from entrepot.provisioning.draft import Declared, Draft
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.lifecycle import LIFECYCLE_KEYS, read_access, read_stage, read_stages
from entrepot.provisioning.parties import read_buyer, read_parents, read_seller
from entrepot.provisioning.provisioned import PROVISIONED_KEYS, read_sizing, read_units
from entrepot.provisioning.queues import read_queue
from entrepot.provisioning.quotas import read_ratio
from entrepot.provisioning.routing_rules import (
    REGION_KEYS,
    UPSTREAM_KEYS,
    read_pool,
    read_region,
    read_upstream_rules,
    read_weights,
)
from entrepot.provisioning.scalars import ID, MODEL_ID, read_currency, read_rate
from entrepot.provisioning.service_tiers import read_service_tier, read_service_tiers
from entrepot.provisioning.upgrades import read_successor, read_upgrade

_MARKET = re.compile(r"[A-Z]{2}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_OPERATIONS: tuple[Operation, ...] = get_args(Operation)
_KINDS: tuple[UpstreamKind, ...] = get_args(UpstreamKind)
_ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
_ROLES: tuple[Role, ...] = get_args(Role)
_DEPLOYMENT_KINDS: tuple[DeploymentKind, ...] = get_args(DeploymentKind)


def read_operator(fields: Fields, draft: Draft) -> None:
    """Adds the operator to the draft."""
    name = fields.text("name")
    operator = Operator(
        name=name,
        currency=read_currency(fields),
        rounding=fields.choice("rounding", _ROUNDINGS, "half_up"),
        party=read_seller(fields, name),
    )
    draft.operators.append(Declared(operator, fields))


def read_partners(root: Fields, draft: Draft) -> None:
    """Adds the partners to the draft."""
    for fields in root.rows("partners", "partner", ("id", "name", "charges")):
        partner = fields.identifier("id", ID)
        draft.partners.append(Declared(Partner(partner, fields.text("name", partner), read_charges(fields)), fields))


def read_models(root: Fields, draft: Draft) -> None:
    """Adds the models to the draft. Operations left open are () until the upstreams are known."""
    known = (
        "id",
        "version",
        "partner",
        "context_tokens",
        *LIFECYCLE_KEYS,
        "operations",
        "routing",
        "provisioned",
        "compatible",
        "quota",
        "tokenizer",
        "successor",
        "service_tiers",
    )
    for fields in root.rows("models", "model", known):
        model = Model(
            id=fields.identifier("id", MODEL_ID),
            version=fields.text("version", ""),
            partner=fields.identifier("partner", ID),
            context_tokens=fields.integer("context_tokens", minimum=1),
            stage=read_stage(fields),
            operations=_operations(fields),
            routing=read_pool(fields) or PoolRules(),
            provisioned=read_sizing(fields),
            compatible=tuple(text for text, _ in fields.texts("compatible")) if fields.has("compatible") else (),
            quota=read_ratio(fields),
            tokenizer=fields.choice("tokenizer", TOKENIZERS) if fields.has("tokenizer") else "",
            stages=read_stages(fields),
            access=read_access(fields),
            successor=read_successor(fields),
            service_tiers=read_service_tiers(fields),
        )
        draft.models.append(Declared(model, fields))


def _operations(fields: Fields) -> tuple[Operation, ...]:
    if not fields.has("operations"):
        return ()
    named = {text for text, _ in fields.texts("operations")}
    for text in sorted(named - set(_OPERATIONS)):
        fields.fault(f"operation {text!r} is not one of {', '.join(_OPERATIONS)}", "operations")
    if not named:
        fields.fault("operations must name at least one", "operations")
    return tuple(operation for operation in _OPERATIONS if operation in named)


def read_upstreams(root: Fields, draft: Draft) -> None:
    """Adds the upstreams to the draft."""
    known = ("id", "kind", "models", "base_url", "key_env", "key_file", "usage_lookup", *UPSTREAM_KEYS)
    for fields in root.rows("upstreams", "upstream", known):
        identifier = fields.identifier("id", ID)
        kind = fields.choice("kind", _KINDS)
        models = {model: name for model, name, _ in fields.pairs("models")}
        usage_lookup = kind != "openai" or fields.truth("usage_lookup")
        upstream = Upstream(
            id=identifier,
            kind=kind,
            models=models,
            base_url=_base_url(fields) if kind == "openai" else "",
            key_env=fields.text("key_env", ""),
            usage_lookup=usage_lookup,
            key_file=fields.text("key_file", ""),
            weights=read_weights(fields, models),
            rules=read_upstream_rules(fields, usage_lookup=usage_lookup),
        )
        _check_key(fields, upstream)
        for key in ("base_url", "key_env", "key_file", "usage_lookup"):
            if kind != "openai" and fields.has(key):
                fields.fault(f"{key} is for kind openai; a {kind} upstream runs inside this machine", key)
        draft.upstreams.append(Declared(upstream, fields))


def _check_key(fields: Fields, upstream: Upstream) -> None:
    if upstream.key_env and not _VARIABLE.fullmatch(upstream.key_env):
        fields.fault("key_env names the environment variable that holds the key; never the key itself", "key_env")
    if upstream.key_file and not upstream.key_file.startswith("/"):
        fields.fault("key_file names the file that holds the key, by a path that begins with a slash", "key_file")
    if upstream.key_file and upstream.key_env:
        fields.fault("key_env and key_file are two places for one key; leave one out", "key_file")


def _base_url(fields: Fields) -> str:
    url = fields.text("base_url")
    if url and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
        fields.fault(f"base_url {url!r} must be like https://host/v1", "base_url")
    return url.rstrip("/")


def read_customers(root: Fields, draft: Draft, zones: dict[str, str]) -> None:
    """Adds the customers to the draft. zones: {customer: zone of its first contract}."""
    known = ("id", "name", "parent", "market", "since", "party", "budget", "prepaid", "show_costs")
    for fields in root.rows("customers", "customer", known):
        identifier = fields.identifier("id", ID)
        name = fields.text("name", identifier)
        parents = read_parents(fields, zones.get(identifier, "UTC"))
        customer = Customer(
            id=identifier,
            name=name,
            parent=parents[-1].parent if parents else fields.identifier("parent", ID, ""),
            market=fields.text("market", ""),
            since=fields.instant("since", zones.get(identifier, "UTC"), 0),
            party=read_buyer(fields, name),
            budget=read_budget(fields),
            prepaid=read_prepaid(fields, zones.get(identifier, "UTC")),
            parents=parents,
            shows_costs=fields.truth("show_costs"),
        )
        if customer.market and not _MARKET.fullmatch(customer.market):
            fields.fault(f"market {customer.market!r} must be two capital letters such as US", "market")
        draft.customers.append(Declared(customer, fields))


def read_projects(root: Fields, draft: Draft) -> None:
    """Adds the projects to the draft."""
    for fields in root.rows("projects", "project", ("id", "customer", "budget", *REGION_KEYS)):
        identifier, customer = fields.identifier("id", ID), fields.identifier("customer", ID)
        project = Project(identifier, customer, *read_region(fields), budget=read_budget(fields))
        draft.projects.append(Declared(project, fields))


def read_deployments(root: Fields, draft: Draft) -> None:
    """Adds the deployments to the draft."""
    known = ("id", "project", "model", "kind", "tokens_per_minute", "cache", "queue", "routing", "geography", "upgrade")
    for fields in root.rows("deployments", "deployment", (*known, "service_tier", *REGION_KEYS, *PROVISIONED_KEYS)):
        region, residency = read_region(fields)
        deployment = Deployment(
            id=fields.identifier("id", ID),
            project=fields.identifier("project", ID),
            model=fields.identifier("model", MODEL_ID),
            kind=fields.choice("kind", _DEPLOYMENT_KINDS, "standard"),
            tokens_per_minute=fields.integer("tokens_per_minute", 0),
            cache=read_cache(fields),
            region=region,
            residency=residency,
            routing=read_pool(fields),
            geography=fields.choice("geography", GEOGRAPHIES, "global"),
            units=read_units(fields),
            spillover=fields.identifier("spillover", ID, ""),
            queue=read_queue(fields),
            upgrade=read_upgrade(fields),
            service_tier=read_service_tier(fields),
        )
        draft.deployments.append(Declared(deployment, fields))


def read_exchange_rates(root: Fields, draft: Draft) -> None:
    """Adds the exchange rates to the draft."""
    for fields in root.rows("exchange_rates", "exchange rate", ("from", "to", "rate", "on")):
        sold, bought = read_currency(fields, "from"), read_currency(fields, "to")
        fields.named(f"from {sold} to {bought}" if sold and bought else "")
        if sold and sold == bought:
            fields.fault("from and to must be two currencies", "to")
        rate = ExchangeRate(sold, bought, fields.instant("on", "UTC"), read_rate(fields))
        draft.exchange_rates.append(Declared(rate, fields))


def read_identities(root: Fields, draft: Draft) -> None:
    """Adds identity providers and principals to the draft."""
    for fields in root.rows("identity_providers", "identity provider", ("issuer", "audiences", "keys")):
        issuer = fields.text("issuer")
        fields.named(issuer)
        audiences = tuple(text for text, _ in fields.texts("audiences"))
        draft.identity_providers.append(Declared(IdentityProvider(issuer, audiences, _key_set(fields)), fields))
    for fields in root.rows("principals", "principal", ("id", "project", "role", "issuer")):
        principal = fields.text("id")
        role = fields.choice("role", _ROLES, "user")
        project, issuer = fields.identifier("project", ID), fields.text("issuer", "")
        draft.principals.append(Declared(Principal(principal, project, role, issuer), fields))


class _KeySet(msgspec.Struct):
    keys: list[dict[str, msgspec.Raw]]


def _key_set(fields: Fields) -> str:
    text = fields.block("keys")
    try:
        if text and not msgspec.json.decode(text, type=_KeySet).keys:
            fields.fault("keys has no key in it", "keys")
    except msgspec.DecodeError as error:
        fields.fault(f'keys must be a JWK set as JSON text, {{"keys": […]}}: {error}', "keys")
    return text
