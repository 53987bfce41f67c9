"""What a world file lays down about routing: an upstream's rules, a pool's, and where a project is to be served."""

from typing import get_args

from entrepot.core.upstream_rules import AbortRule, HealthRules, PoolRules, Residency, Sticky, Timeouts, UpstreamRules
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID

UPSTREAM_KEYS = ("weight", "region", "max_concurrent", "on_client_abort", "timeouts", "health")
REGION_KEYS = ("region", "residency")

WEIGHT_MAX = 100
_DAY_MS = 86_400_000

_ABORT_RULES: tuple[AbortRule, ...] = get_args(AbortRule)
_STICKY: tuple[Sticky, ...] = get_args(Sticky)
_RESIDENCIES: tuple[Residency, ...] = get_args(Residency)


def read_upstream_rules(fields: Fields, *, usage_lookup: bool) -> UpstreamRules:
    """An upstream's rules.

    What a client left unread is exact either way by default: an upstream that tells afterwards what it served is
    stopped, any other is read to the end, where it says so.
    """
    return UpstreamRules(
        region=fields.identifier("region", ID, ""),
        max_concurrent=fields.integer("max_concurrent", 0, 1),
        on_client_abort=fields.choice("on_client_abort", _ABORT_RULES, "cancel" if usage_lookup else "drain"),
        timeouts=_timeouts(fields),
        health=_health(fields),
    )


def read_weights(fields: Fields, models: dict[str, str]) -> dict[str, int]:
    """{model: the upstream's share of its requests}, without those that are 1."""
    if not fields.has("weight"):
        return {}
    each = fields.section("weight", f"weight of {fields.what}", tuple(models)) if fields.is_mapping("weight") else None
    shares = {model: _share(each, model) if each else _share(fields, "weight") for model in models}
    return {model: share for model, share in shares.items() if share != 1}


def read_region(fields: Fields) -> tuple[str, Residency]:
    """(where requests are to be served, or ""; whether nowhere else)."""
    region = fields.identifier("region", ID, "")
    residency = fields.choice("residency", _RESIDENCIES, "prefer")
    if fields.has("residency") and not fields.has("region"):
        fields.fault("residency needs a region beside it", "residency")
    return region, residency


def read_pool(fields: Fields) -> PoolRules | None:
    """The rules under `routing`, or None without any."""
    default = PoolRules()
    rules = fields.section("routing", f"routing of {fields.what}", PoolRules.__struct_fields__)
    if rules is None:
        return None
    return PoolRules(
        sticky=rules.choice("sticky", _STICKY, default.sticky),
        retries=_at_most(rules, "retries", default.retries, 10),
        retry_percent=_at_most(rules, "retry_percent", default.retry_percent, 100),
        hedge_after_ms=_at_most(rules, "hedge_after_ms", default.hedge_after_ms, _DAY_MS),
        ejected_percent_max=_at_most(rules, "ejected_percent_max", default.ejected_percent_max, 100),
    )


def _timeouts(fields: Fields) -> Timeouts:
    rules = fields.section("timeouts", f"timeouts of {fields.what}", Timeouts.__struct_fields__)
    default = Timeouts()
    if rules is None:
        return default
    return Timeouts(
        **{name: _at_most(rules, name, getattr(default, name), _DAY_MS, 1) for name in Timeouts.__struct_fields__}
    )


def _health(fields: Fields) -> HealthRules:
    rules = fields.section("health", f"health of {fields.what}", HealthRules.__struct_fields__)
    default = HealthRules()
    if rules is None:
        return default
    path = rules.text("check_path", "")
    if path and not (path.startswith("/") and path.isascii() and " " not in path):
        rules.fault("check_path must begin with a slash, such as /models", "check_path")
    health = HealthRules(
        failures=_at_most(rules, "failures", default.failures, 1000, 1),
        failure_percent=_at_most(rules, "failure_percent", default.failure_percent, 100, 1),
        requests=rules.integer("requests", default.requests, 1),
        window_ms=_at_most(rules, "window_ms", default.window_ms, _DAY_MS, 1000),
        eject_ms=_at_most(rules, "eject_ms", default.eject_ms, _DAY_MS, 1),
        eject_ms_max=_at_most(rules, "eject_ms_max", default.eject_ms_max, _DAY_MS, 1),
        check_path=path,
        check_every_ms=_at_most(rules, "check_every_ms", default.check_every_ms, _DAY_MS, 1000),
    )
    if health.eject_ms_max < health.eject_ms:
        rules.fault("eject_ms_max must be at least eject_ms", "eject_ms_max")
    return health


def _share(fields: Fields, key: str) -> int:
    return _at_most(fields, key, 1, WEIGHT_MAX)


def _at_most(fields: Fields, key: str, default: int, maximum: int, minimum: int = 0) -> int:
    value = fields.integer(key, default, minimum)
    if value > maximum:
        fields.fault(f"{key} must be at most {maximum}, not {value}", key)
    return value
