"""What a unit costs, and what many cost; in fractions of one unit of the currency."""

from fractions import Fraction
from functools import lru_cache

from tests.oracle import calendar
from tests.oracle.cases import Deal, Edition, Hours, Row, Use

WHOLE = {
    "cached_input_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
}
INPUTS = ("input_tokens", "cached_input_tokens", "cache_write_tokens")
PICO = 10**12
BELIEVED_MAX = 10**9  # Of a currency's major unit, in one record.


@lru_cache(maxsize=4096)
def number(text: str) -> Fraction:
    """The number of decimal text."""
    return Fraction(text)


def half_up(value: Fraction) -> int:
    """The nearest whole number, halves away from zero."""
    nearest = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return nearest if value >= 0 else -nearest


def in_pico(value: Fraction) -> Fraction:
    """The nearest whole pico."""
    return Fraction(half_up(value * PICO), PICO)


def is_within(hours: Hours, at: int) -> bool:
    """Whether the window's own clocks are in it."""
    shown = calendar.local(at, hours.zone)
    yesterday = (shown.weekday + 6) % 7
    if hours.start < hours.end:
        return shown.weekday in hours.days and hours.start <= shown.minute < hours.end
    if shown.minute >= hours.start and shown.weekday in hours.days:
        return True
    return shown.minute < hours.end and yesterday in hours.days


def classes_of(edition: Edition, use: Use) -> list[str]:
    """The classes of a request, the one that counts first; "" for any at the end."""
    named = {row.of for row in edition.rows if row.model == use.model}
    length = sum(use.meters.get(meter, 0) for meter in INPUTS)
    limits = [int(name[6:]) for name in named if name.startswith("above_")]
    passed = [limit for limit in limits if length > limit]
    found = [f"above_{max(passed)}"] if passed else []
    found += [hours.name for hours in edition.hours if hours.name in named and is_within(hours, use.at)]
    return [*found, ""]


def row_of(edition: Edition, model: str, tier: str, meter: str, classes: list[str]) -> Row | None:
    """The price of a meter: of its first class that has one; else that of the whole the meter is a part of."""
    for name in classes:
        for row in edition.rows:
            if (row.model, row.meter, row.tier, row.of) == (model, meter, tier, name):
                return row
    whole = WHOLE.get(meter)
    return row_of(edition, model, tier, whole, classes) if whole else None


@lru_cache(maxsize=4096)
def agreed(price: str, per: int, percents: tuple[str, ...]) -> Fraction:
    """A unit's price after discounts, each rounded to pico."""
    unit = number(price) / per
    for percent in percents:
        unit = in_pico(unit * (100 - number(percent)) / 100)
    return unit


def is_believed(row: Row, quantity: int) -> bool:
    """Whether a record comes to no more than a slip of a hand would, at the dearest price before discounts."""
    dearest = max((agreed(price, row.per, ()) for _, price in row.steps), default=agreed(row.price, row.per, ()))
    return abs(quantity) * dearest <= BELIEVED_MAX


def percents_of(deal: Deal, model: str) -> tuple[str, ...]:
    """The discounts on a model."""
    return tuple(percent for percent, models in deal.discounts if not models or model in models)


def cost(row: Row, percents: tuple[str, ...], quantity: int) -> Fraction:
    """What the first units of a month cost."""
    if row.mode == "flat":
        return quantity * agreed(row.price, row.per, percents)
    if row.mode == "hourly":  # A month's minutes are rounded once, together.
        return in_pico(quantity * agreed(row.price, row.per, percents) / 60)
    if quantity < 0:
        return -cost(row, percents, -quantity)
    if row.mode == "package":
        begun = quantity // row.size + (1 if quantity % row.size else 0)
        return begun * agreed(row.price, row.per, percents)
    total, used = Fraction(0), 0
    for last, price in row.steps:
        unit = agreed(price, row.per, percents)
        if row.mode == "volume":
            if last is None or quantity <= last:
                return quantity * unit
            continue
        here = quantity - used if last is None else min(quantity, last) - used
        if here > 0:
            total += here * unit
            used += here
    return total
