"""Costs as OpenAI tells them to an organization.

Source: OpenAI's OpenAPI description, version 2.3.0, CostsResult. Amounts are numbers
there; they are written digit by digit.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from entrepot.core.charges import Series
from entrepot.core.money import format_pico
from entrepot.exporting.units import unit_of

COSTS_GROUPED_BY = ("project_id", "line_item", "api_key_id")

_UNITS = {"Tokens": "tokens", "Images": "images", "Characters": "characters", "Seconds": "duration_seconds"}


class Spent(NamedTuple):
    """What something cost, in pico of a currency. quantity: of a meter; none of what is not counted."""

    currency: str
    amount_pico: int
    line_item: str
    quantity: int | None = None
    unit: str | None = None


def spent_on(series: Series, meter: str, quantity: int, currency: str, amount_pico: int) -> Spent:
    """What usage of a series cost. Its line item is what a line of an invoice is about."""
    tier = "" if series.tier == "default" else series.tier
    item = ", ".join(word for word in (series.model, meter, tier, series.price_class) if word)
    return Spent(currency, amount_pico, item, quantity, _UNITS.get(unit_of(meter)))


class SpentSums:
    """Sums what was spent, for one result."""

    def __init__(self) -> None:
        self._amounts: dict[str, int] = {}
        self._quantity = 0
        self._units: set[str | None] = set()

    def add(self, spent: Spent) -> None:
        """Adds a cost."""
        self._amounts[spent.currency] = self._amounts.get(spent.currency, 0) + spent.amount_pico
        if spent.quantity is not None:
            self._quantity += spent.quantity
            self._units.add(spent.unit)

    def results(self, group: dict[str, object]) -> Iterator[dict[str, object]]:
        """A result for each currency, in the order of their codes. quantities are told by line item alone."""
        by_item = group.get("line_item") is not None and bool(self._units)
        for currency, pico in sorted(self._amounts.items()):
            yield {
                "object": "organization.costs.result",
                "amount": {"value": msgspec.Raw(format_pico(pico).encode()), "currency": currency.lower()},
                "line_item": None,
                "project_id": None,
                "api_key_id": None,
                "quantity": self._quantity if by_item else None,
                "quantity_unit": next(iter(self._units)) if by_item and len(self._units) == 1 else None,
                **group,
            }
