"""What a new version of the world changes: per declared record, and in words."""

from collections.abc import Iterator

import msgspec

from entrepot.core.budgets import Budget
from entrepot.core.money import format_pico
from entrepot.core.periods import END_OF_TIME, format_instant
from entrepot.core.prices import PRICE_QUANTITY, Price, PriceBookVersion
from entrepot.core.tokens import TOKEN_METERS
from entrepot.core.world import Change, World

_INSTANTS = frozenset({"effective_from", "effective_to", "since", "begins", "ends", "at"})


class Difference(msgspec.Struct, frozen=True):
    """One record that is added, changed or removed. details: "field: before → after" of a changed one."""

    kind: str
    id: str
    change: Change
    details: tuple[str, ...] = ()


def differences(before: World | None, after: World) -> tuple[Difference, ...]:
    """What applying `after` would change, by kind in the order of the world file, then by id; empty when nothing."""
    old = {} if before is None else _records(before)
    new = _records(after)
    found = []
    for kind in dict.fromkeys((*(kind for kind, _ in new), *(kind for kind, _ in old))):
        identities = sorted({identity for at, identity in (*old, *new) if at == kind})
        for identity in identities:
            difference = _difference(kind, identity, old.get((kind, identity)), new.get((kind, identity)))
            if difference is not None:
                found.append(difference)
    return tuple(found)


def _difference(kind: str, identity: str, old: msgspec.Struct | None, new: msgspec.Struct | None) -> Difference | None:
    if old is None:
        return Difference(kind, identity, "add")
    if new is None:
        return Difference(kind, identity, "remove")
    if old == new:
        return None
    return Difference(kind, identity, "change", tuple(_details(old, new)))


def _records(world: World) -> dict[tuple[str, str], msgspec.Struct]:
    """{(kind, id): record}, kinds in the order of the world file."""
    records: dict[tuple[str, str], msgspec.Struct] = {("operator", world.operator.name): world.operator}
    records |= {("partner", item.id): item for item in world.partners}
    records |= {("model", item.id): item for item in world.models}
    records |= {("upstream", item.id): item for item in world.upstreams}
    records |= {("price book version", item.id): item for item in world.price_books}
    records |= {("customer", item.id): item for item in world.customers}
    records |= {("contract", item.id): item for item in world.contracts}
    records |= {("project", item.id): item for item in world.projects}
    records |= {("deployment", f"{item.project}/{item.id}"): item for item in world.deployments}
    records |= {("identity provider", item.issuer): item for item in world.identity_providers}
    records |= {("subscription", item.id): item for item in world.subscriptions}
    records |= {("principal", item.id): item for item in world.principals}
    records |= {("exchange rate", item.id): item for item in world.exchange_rates}
    records |= {("agreement", item.id): item for item in world.agreements}
    records |= {("quota", item.id): item for item in world.quotas}
    records |= {("partner report", item.id): item for item in world.partner_reports}
    return records


def _details(old: msgspec.Struct, new: msgspec.Struct) -> Iterator[str]:
    for name in new.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if isinstance(old, PriceBookVersion) and isinstance(new, PriceBookVersion) and name == "prices":
            yield from _price_details(old, new)
        elif isinstance(old, Budget) and isinstance(new, Budget) and name == "units":
            yield f"limit: {old.limit} → {new.limit}"
        elif isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            yield from (f"{name} {detail}" for detail in _details(before, after))
        else:
            yield f"{name}: {_shown(name, before)} → {_shown(name, after)}"


def _price_details(old: PriceBookVersion, new: PriceBookVersion) -> Iterator[str]:
    before, after = ({_key(price): price for price in version.prices} for version in (old, new))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield f"{' '.join(key)}: {_unit(before.get(key))} → {_unit(after.get(key))}"


def _key(price: Price) -> tuple[str, ...]:
    tier = () if price.tier == "default" else (price.tier,)
    return (price.model, price.meter, *tier, *price.price_class.split())


def _unit(price: Price | None) -> str:
    if price is None:
        return "no price"
    if price.mode == "package":
        return f"{format_pico(price.unit_pico, 2)} per {price.package}"
    if price.steps:
        steps = (
            _each(price, step.unit_pico) + (f" to {step.up_to}" if step.up_to else " beyond") for step in price.steps
        )
        return f"{price.mode} {', '.join(steps)}"
    return _each(price, price.unit_pico)


def _each(price: Price, unit_pico: int) -> str:
    if price.meter in TOKEN_METERS:
        return f"{format_pico(unit_pico * PRICE_QUANTITY, 2)} per million"
    return f"{format_pico(unit_pico, 2)} each"


def _shown(name: str, value: object) -> str:
    if name in _INSTANTS and isinstance(value, int):
        return "open" if value == END_OF_TIME else format_instant(value)
    if name.endswith("_pico") and isinstance(value, int):
        return format_pico(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(key if key == text else f"{key} as {text}" for key, text in value.items()) or "none"
    return str(value) if value not in {"", None} else "none"
