"""Terms of a contract beside its price book."""

from collections.abc import Iterable

import msgspec

from entrepot.core.money import parse_pico
from entrepot.core.prices import Price, PriceBookVersion, Step

SHARE = 10**12  # The whole that shares are parts of.


class Discount(msgspec.Struct, frozen=True, tag="discount"):
    """A share less of each unit price of these models, of all where none is named.

    The discounted price is rounded half up to whole pico, once, so that rating stays a multiplication.
    """

    share: int
    models: tuple[str, ...] = ()


class Minimum(msgspec.Struct, frozen=True, tag="minimum"):
    """What a month costs at least; of a month in which the contract is not in force throughout, its part by days."""

    monthly_pico: int


class Tax(msgspec.Struct, frozen=True, tag="tax"):
    """A share of the net of the lines of these models, of all where none is named, added under this name."""

    share: int
    name: str
    models: tuple[str, ...] = ()


Term = Discount | Minimum | Tax


def parse_percent(text: str) -> int:
    """The share of "12.5" per cent. Raises: ValueError with a sentence for the user."""
    share, rest = divmod(parse_pico(text), 100)
    if rest or not 0 <= share <= SHARE:
        raise ValueError(f"{text!r} is not a percentage from 0 to 100 with at most 10 digits after the point")
    return share


def discounted(version: PriceBookVersion, terms: Iterable[Term]) -> PriceBookVersion:
    """The version with the unit prices that the discounts among the terms leave."""
    discounts = [term for term in terms if isinstance(term, Discount)]
    if not discounts:
        return version
    return msgspec.structs.replace(version, prices=tuple(_less(price, discounts) for price in version.prices))


def _less(price: Price, discounts: Iterable[Discount]) -> Price:
    for discount in discounts:
        if not discount.models or price.model in discount.models:
            steps = tuple(Step(step.up_to, _rest(step.unit_pico, discount.share)) for step in price.steps)
            price = msgspec.structs.replace(price, unit_pico=_rest(price.unit_pico, discount.share), steps=steps)
    return price


def _rest(unit_pico: int, share: int) -> int:
    return (2 * unit_pico * (SHARE - share) + SHARE) // (2 * SHARE)
