"""Prices: immutable, dated price book versions, and the price of a meter in one of them."""

from typing import Literal

import msgspec

from entrepot.core.money import parse_pico
from entrepot.core.periods import Instant, parse_instant
from entrepot.core.tokens import PRICED_AS

PRICE_QUANTITY = 1_000_000  # Suppliers publish token prices per million.


class Price(msgspec.Struct, frozen=True):
    """The flat price of one unit of a meter of a model, in pico."""

    model: str
    meter: str
    tier: str
    unit_pico: int


class PriceBookVersion(msgspec.Struct, frozen=True):
    """A price book's content from effective_from until its next version begins. id is "{book}@{date}".

    effective_date: the date where the operator declared no more than that: the version then begins at 00:00 of each
    contract's own zone, and effective_from is 00:00 UTC.
    """

    id: str
    book: str
    effective_from: Instant
    prices: tuple[Price, ...]
    effective_date: str = ""

    def begins(self, zone: str) -> Instant:
        """When the version comes into force under a contract of the zone."""
        return parse_instant(self.effective_date, zone) if self.effective_date else self.effective_from


class PriceTable:
    """The prices of one version, ready to be asked; nothing else of the version is needed to rate."""

    __slots__ = ("_units", "version")

    def __init__(self, version: PriceBookVersion) -> None:
        self.version = version.id
        self._units = {(price.model, price.meter, price.tier): price.unit_pico for price in version.prices}

    def unit_pico(self, model: str, meter: str, tier: str) -> int | None:
        """The unit price in pico, or None: then the usage must be quarantined, never rated at nothing.

        A part of a token meter without its own price is priced as the whole it belongs to.
        """
        return self._units.get((model, self.priced_as(model, meter, tier), tier))

    def priced_as(self, model: str, meter: str, tier: str) -> str:
        """The meter whose price applies: the meter itself, or the whole it is a part of where it has no price."""
        return meter if (model, meter, tier) in self._units else PRICED_AS.get(meter, meter)


def unit_price(text: str, per: Literal["per_million", "each"]) -> int:
    """A published price in pico per unit. Raises: ValueError when it does not come to whole pico."""
    pico = parse_pico(text)
    if pico < 0:
        raise ValueError(f"a price cannot be negative: {text}")
    if per == "each":
        return pico
    unit, rest = divmod(pico, PRICE_QUANTITY)
    if rest:
        raise ValueError(
            f"{text} per million is not a whole number of pico (1e-12) per token; use at most 6 digits after the point"
        )
    return unit
