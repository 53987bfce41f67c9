"""One row of a price book version: what a meter of a model costs, in all the forms a price can have."""

from typing import Literal

import msgspec

from entrepot.core.price_windows import PriceWindow, parse_days, parse_minute
from entrepot.core.prices import SERVED_BY_UNITS, Mode, Price, Step, long_class, unit_price
from entrepot.core.provisioned import GEOGRAPHIES
from entrepot.core.tokens import METERS, TIERS, UNIT_HOURS
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID, read_zone

PRICE_KEYS = (
    *("model", "meter", "tier", "per_million", "each", "tiers", "package", "windows", "long_context"),
    "geography",
)

_UNITS: tuple[Literal["per_million"], Literal["each"]] = ("per_million", "each")
_FORMS = (*_UNITS, "tiers", "package")
_MODES: tuple[Mode, Mode] = ("graduated", "volume")
_RESERVED = "above_"


def read_prices(fields: Fields, windows: dict[str, PriceWindow]) -> list[Price]:
    """The prices of a row: that for any usage first, then one for each class of usage that the row tells apart.

    windows: those of the version so far, by name; what the row adds is put there.
    """
    model = fields.text("model")
    meter = fields.choice("meter", sorted(METERS))
    tier = fields.choice("tier", TIERS, "default")
    fields.named(f"of {meter} of {model}" if model else "")
    base = _form(fields, Price(model, meter, tier, 0, _geography(fields, meter)))
    prices = [base]
    for row in fields.rows("windows", "window", ("name", "zone", "days", "from", "to", *_UNITS)):
        window = _window(row)
        known = windows.setdefault(window.name, window)
        if known != window:
            row.fault(f"window {window.name} has other hours elsewhere in this version; give it another name", "name")
        prices.append(_flat_for(base, window.name, row))
    for row in fields.rows("long_context", "long-context price", ("above", *_UNITS)):
        prices.append(_flat_for(base, long_class(row.integer("above", 0)), row))
        if not row.integer("above", 0):
            row.fault("above must be a number of input tokens such as 200000", "above")
    return prices


def _geography(fields: Fields, meter: str) -> str:
    """The geography that a price of units is for, "" for any; units have one price, in all hours and quantities."""
    if meter != UNIT_HOURS:
        if fields.has("geography"):
            fields.fault(f"geography is for {UNIT_HOURS}", "geography")
        return ""
    for key in ("tiers", "package", "windows", "long_context"):
        if fields.has(key):
            fields.fault(f"{UNIT_HOURS} has one price, each; {key} is not for it", key)
    return fields.choice("geography", GEOGRAPHIES) if fields.has("geography") else ""


def _form(fields: Fields, price: Price) -> Price:
    forms = [form for form in _FORMS if fields.has(form)]
    if len(forms) != 1:
        fields.fault(f"a price needs one of {', '.join(_FORMS)}" + (f", not {len(forms)}" if forms else ""))
        return price
    if fields.has("tiers"):
        return _tiered(fields, price)
    if fields.has("package"):
        return _packaged(fields, price)
    return msgspec.structs.replace(price, unit_pico=_unit_pico(fields))


def _flat_for(base: Price, price_class: str, fields: Fields) -> Price:
    """A flat price for one class of the usage that the base is for."""
    return Price(base.model, base.meter, base.tier, _unit_pico(fields), price_class)


def _tiered(fields: Fields, price: Price) -> Price:
    section = fields.section("tiers", "tiers", ("mode", "steps"))
    if section is None:
        return price
    mode = section.choice("mode", _MODES)
    steps: list[Step] = []
    rows = section.rows("steps", "step", ("up_to", *_UNITS), required=True)
    for number, row in enumerate(rows, start=1):
        up_to = row.integer("up_to", 0) or None
        if (up_to is None) != (number == len(rows)):
            row.fault("every step but the last ends with up_to, and the last has none", "up_to")
        elif up_to is not None and steps and steps[-1].up_to is not None and up_to <= steps[-1].up_to:
            row.fault(f"up_to must be more than the {steps[-1].up_to} of the step before", "up_to")
        steps.append(Step(up_to, _unit_pico(row)))
    if not steps:
        section.fault("steps must have at least one step", "steps")
        return price
    return msgspec.structs.replace(price, mode=mode, steps=tuple(steps))


def _packaged(fields: Fields, price: Price) -> Price:
    section = fields.section("package", "package", ("size", "each"))
    if section is None:
        return price
    size = section.integer("size", 0)
    if not size:
        section.fault("size must be how many units a package has", "size")
    return msgspec.structs.replace(price, mode="package", package=max(size, 1), unit_pico=_unit_pico(section))


def _window(fields: Fields) -> PriceWindow:
    name = fields.identifier("name", ID)
    if name.startswith(_RESERVED):
        fields.fault(f"a window's name cannot begin with {_RESERVED}", "name")
    if name in {*GEOGRAPHIES, SERVED_BY_UNITS}:
        fields.fault(f"a window cannot be named {name}, which prices use for something else", "name")
    days: tuple[int, ...] = ()
    minutes = [0, 0]
    try:
        days = parse_days(fields.text("days", "daily"))
    except ValueError as error:
        fields.fault(f"days: {error}", "days")
    for number, key in enumerate(("from", "to")):
        try:
            minutes[number] = parse_minute(fields.text(key))
        except ValueError as error:
            fields.fault(f"{key}: {error}", key)
    return PriceWindow(name, read_zone(fields), days, minutes[0], minutes[1])


def _unit_pico(fields: Fields) -> int:
    """The unit price of the one key there is; 0 after a fault."""
    given = [per for per in _UNITS if fields.has(per)]
    if len(given) != 1:
        fields.fault("a price needs either per_million or each")
        return 0
    text = fields.text(given[0])
    try:
        return unit_price(text, given[0]) if text else 0
    except ValueError as error:
        fields.fault(str(error), given[0])
        return 0
