"""What a charge consists of, told in unit prices."""

from typing import NamedTuple

from entrepot.core.prices import Price


class PricedPart(NamedTuple):
    """Units of a charge at one price. priced: how many times unit_pico is charged, for units or for begun packages.

    unit_pico: None for a correction of what a price by quantity had come to, which no one price explains.
    step: the number of the price's step, from 1; 0 where there are none.
    """

    quantity: int
    priced: int
    unit_pico: int | None
    amount_pico: int
    step: int = 0


class PoolSpan(NamedTuple):
    """How much of a pool was counted before an invoice, before a reading on it, and after the whole invoice."""

    before_invoice: int = 0
    before: int = 0
    after_invoice: int = 0


def priced_parts(price: Price, quantity: int, span: PoolSpan) -> list[PricedPart]:
    """The parts of a quantity by unit price. Over an invoice they sum to the price's cost after it less before it.

    A volume price charges every unit alike on the first invoice of its pool, whichever unit reached the last step.
    """
    if price.mode == "flat":
        return [PricedPart(quantity, quantity, price.unit_pico, quantity * price.unit_pico)]
    after = span.before + quantity
    if span.before >= 0 and after >= 0:
        if price.mode == "package":
            begun = -(-after // price.package) + (-span.before // price.package)
            return [PricedPart(quantity, begun, price.unit_pico, begun * price.unit_pico)]
        if price.mode == "graduated":
            return _graduated(price, span.before, after)
        if not span.before_invoice and span.after_invoice >= 0:
            return _volume(price, quantity, span.after_invoice)
    return [PricedPart(quantity, quantity, None, price.cost_pico(after) - price.cost_pico(span.before))]


def _graduated(price: Price, before: int, after: int) -> list[PricedPart]:
    """A part for each step that lies between the two, negative where they are going down."""
    low, high = sorted((before, after))
    sign = 1 if before <= after else -1
    parts, below = [], 0
    for number, step in enumerate(price.steps, start=1):
        top = high if step.up_to is None else min(high, step.up_to)
        units = sign * max(0, top - max(low, below))
        if units:
            parts.append(PricedPart(units, units, step.unit_pico, units * step.unit_pico, number))
        below = max(below, top)
    return parts


def _volume(price: Price, quantity: int, through: int) -> list[PricedPart]:
    reached = (
        number for number, step in enumerate(price.steps, start=1) if step.up_to is None or through <= step.up_to
    )
    step = next(reached)
    unit_pico = price.steps[step - 1].unit_pico
    return [PricedPart(quantity, quantity, unit_pico, quantity * unit_pico, step)]
