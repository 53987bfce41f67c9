"""Prices: immutable, dated price book versions, and the price of a meter in one of them."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from entrepot.core.money import parse_pico
from entrepot.core.periods import Instant, parse_instant
from entrepot.core.price_windows import PriceWindow
from entrepot.core.tokens import PRICED_AS

PRICE_QUANTITY = 1_000_000  # Suppliers publish token prices per million.

Mode = Literal["flat", "graduated", "volume", "package"]


class Step(msgspec.Struct, frozen=True):
    """Units of a month up to and including up_to, or without end, at a price in pico each."""

    up_to: int | None
    unit_pico: int


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a meter of a model costs, in pico.

    flat: unit_pico for each unit. graduated: each unit at the price of the step it falls into, counted through the
    month. volume: all units of the month at the price of the step that their sum falls into. package: unit_pico for
    each begun package of so many units of the month. price_class: the usage the price is for, "" for any.
    """

    model: str
    meter: str
    tier: str
    unit_pico: int
    price_class: str = ""
    mode: Mode = "flat"
    steps: tuple[Step, ...] = ()
    package: int = 0

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What there is one price for in a version."""
        return self.model, self.meter, self.tier, self.price_class

    def cost_pico(self, quantity: int) -> int:
        """What the first units of a month cost together; of fewer than none, what they would have cost, given back."""
        if self.mode == "flat":
            return quantity * self.unit_pico
        if quantity < 0:
            return -self.cost_pico(-quantity)
        if self.mode == "package":
            return -(-quantity // self.package) * self.unit_pico
        if self.mode == "volume":
            return quantity * self._step_of(quantity).unit_pico
        return _graduated(self.steps, quantity)

    @property
    def dearest_pico(self) -> int:
        """The most that one unit can cost."""
        return max((step.unit_pico for step in self.steps), default=self.unit_pico)

    def most_pico(self, quantity: int) -> int:
        """The most that so many units cost, whatever else the month has; of a flat price, what they cost.

        Of a volume price whose steps rise, without what the units before them then cost more.
        """
        if self.mode == "package":
            return -(-quantity // self.package) * self.unit_pico
        return quantity * self.dearest_pico

    def _step_of(self, quantity: int) -> Step:
        return next(step for step in self.steps if step.up_to is None or quantity <= step.up_to)


def _graduated(steps: Iterable[Step], quantity: int) -> int:
    total = below = 0
    for step in steps:
        top = quantity if step.up_to is None else min(quantity, step.up_to)
        total += (top - below) * step.unit_pico
        below = top
    return total


class PriceBookVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A price book's content from effective_from until its next version begins. id is "{book}@{date}".

    effective_date: the date where the operator declared no more than that: the version then begins at 00:00 of each
    contract's own zone, and effective_from is 00:00 UTC. windows: those that prices of some class are for.
    """

    id: str
    book: str
    effective_from: Instant
    prices: tuple[Price, ...]
    effective_date: str = ""
    windows: tuple[PriceWindow, ...] = ()

    def begins(self, zone: str) -> Instant:
        """When the version comes into force under a contract of the zone."""
        return parse_instant(self.effective_date, zone) if self.effective_date else self.effective_from


# The class of usage that a deployment's own units serve: it costs nothing beside them, whatever its meter.
SERVED_BY_UNITS = "provisioned"
LONG = "above_"  # Begins the class of requests whose input is longer than the number that follows.


def long_class(input_tokens: int) -> str:
    """The price class of requests with more than this input."""
    return f"{LONG}{input_tokens}"


class PriceTable:
    """The prices of one version, ready to be asked."""

    __slots__ = ("_long", "_prices", "_windows", "version")

    def __init__(self, version: PriceBookVersion) -> None:
        self.version = version
        self._prices = {price.key: price for price in version.prices}
        classes: dict[str, set[str]] = {}
        for price in version.prices:
            if price.price_class:
                classes.setdefault(price.model, set()).add(price.price_class)
        self._windows = {
            model: tuple(window for window in version.windows if window.name in names)
            for model, names in classes.items()
        }
        self._long = {
            model: tuple(
                sorted((int(name.removeprefix(LONG)) for name in names if name.startswith(LONG)), reverse=True)
            )
            for model, names in classes.items()
        }

    def price(self, model: str, meter: str, tier: str, price_class: str = "") -> Price | None:
        """The price, or None: then the usage must be quarantined, never rated at nothing.

        price_class: the classes of the usage, the most telling first, with spaces between. A meter without a price for
        any of them has its price for any usage. A part of a token meter without its own price is priced as the whole it
        belongs to.
        """
        if price_class == SERVED_BY_UNITS:
            return Price(model, meter, tier, 0, SERVED_BY_UNITS)
        for name in (*price_class.split(), ""):
            price = self._prices.get((model, meter, tier, name))
            if price is not None:
                return price
        whole = PRICED_AS.get(meter)
        return self.price(model, whole, tier, price_class) if whole else None

    def windows(self, model: str) -> tuple[PriceWindow, ...]:
        """The windows that some price of the model is for, in the order they count."""
        return self._windows.get(model, ())

    def long_inputs(self, model: str) -> tuple[int, ...]:
        """The input lengths above which some price of the model differs, the greatest first."""
        return self._long.get(model, ())


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
