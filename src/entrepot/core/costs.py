"""What requests of a model cost by the prices in force: at most, before they are served, and then in fact.

A price that depends on how much the month has is counted at its dearest, so that what is held for a request is never
too small; the books know better once the request is in them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from entrepot.core.periods import Instant
from entrepot.core.price_windows import Stretch, stretch_at
from entrepot.core.prices import SERVED_BY_UNITS, Price, PriceBookVersion, PriceTable, long_class
from entrepot.core.tokens import INPUT_METERS, OUTPUT_METERS


class PricesInForce(msgspec.Struct, frozen=True):
    """The agreed prices of a model in [begins, ends)."""

    begins: Instant
    ends: Instant
    version: PriceBookVersion


class CostPart(NamedTuple):
    """What a number of units costs at most. meter: at whose price, the dearest of those that they can be of."""

    meter: str
    quantity: int
    pico: int


class _Prices:
    """One stretch of prices in force, with the windows of the hour."""

    __slots__ = ("begins", "ends", "stretch", "table")

    def __init__(self, prices: PricesInForce) -> None:
        self.begins, self.ends = prices.begins, prices.ends
        self.table = PriceTable(prices.version)
        self.stretch = Stretch(0, 0, "")


class Costs:
    """The costs of one model under the terms of one customer."""

    __slots__ = ("_by_units", "_in_force", "_model")

    def __init__(self, model: str, in_force: Sequence[PricesInForce], *, by_units: bool = False) -> None:
        """by_units: what provisioned units serve, which costs nothing beside them."""
        self._by_units = by_units
        self._model = model
        self._in_force = [_Prices(prices) for prices in in_force]

    def most(
        self, tier: str, at: Instant, prompt_tokens: int, output_tokens: int, counts: Iterable[tuple[str, int]] = ()
    ) -> list[CostPart] | None:
        """What a request costs at most, in parts; None where what it asks for has no price at the instant.

        counts: (meter, units) beside its tokens.
        """
        classes = self._classes(at)
        if classes is None:
            return None
        table, names = classes
        parts = []
        for meters, quantity in ((INPUT_METERS, prompt_tokens), (OUTPUT_METERS, output_tokens)):
            if quantity:
                parts.append(self._dearest(table, names, tier, meters, quantity))
        parts += [self._dearest(table, names, tier, (meter,), quantity) for meter, quantity in counts if quantity]
        priced = [part for part in parts if part is not None]
        return priced if priced or not parts else None

    def cost(self, tier: str, at: Instant, meters: Mapping[str, int]) -> int:
        """What usage costs, in pico: exactly at flat prices, else at most. What has no price waits in quarantine."""
        classes = self._classes(at)
        if classes is None:
            return 0
        table, names = classes
        name = names[-1]
        if len(names) > 1:
            length = sum(meters.get(meter, 0) for meter in INPUT_METERS)
            longer = (limit for limit in table.long_inputs(self._model) if length > limit)
            name = f"{long_class(limit)} {name}".rstrip() if (limit := next(longer, None)) is not None else name
        total = 0
        for meter, quantity in meters.items():
            price = table.price(self._model, meter, tier, name)
            if price is not None:
                total += price.most_pico(quantity)
        return total

    def _classes(self, at: Instant) -> tuple[PriceTable, list[str]] | None:
        """The table in force and the price classes that a request of the instant can be in, that of any length last."""
        for prices in self._in_force:
            if prices.begins <= at < prices.ends:
                break
        else:
            return None
        table = prices.table
        if self._by_units:
            return table, [SERVED_BY_UNITS]
        windows = table.windows(self._model)
        if windows and not prices.stretch.begins <= at < prices.stretch.ends:
            prices.stretch = stretch_at(windows, at)
        name = prices.stretch.names
        return table, [*(f"{long_class(limit)} {name}".rstrip() for limit in table.long_inputs(self._model)), name]

    def _dearest(
        self, table: PriceTable, names: Sequence[str], tier: str, meters: Iterable[str], quantity: int
    ) -> CostPart | None:
        """The units at the dearest price they can have."""
        best: Price | None = None
        for meter in meters:
            for name in names:
                price = table.price(self._model, meter, tier, name)
                if price is not None and (best is None or price.most_pico(quantity) > best.most_pico(quantity)):
                    best = price
        return None if best is None else CostPart(best.meter, quantity, best.most_pico(quantity))
