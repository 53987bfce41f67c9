"""Readings and charges: what was used in an hour, and what it costs."""

import msgspec

from entrepot.core.periods import Instant


class Series(msgspec.Struct, frozen=True, order=True, cache_hash=True, gc=False):
    """What a reading is counted for: all of a usage event that decides who is charged for it, and at which price.

    contract, price_version and price_class are fixed at the event's admission. price_class: the classes of prices that
    are for such usage (core.prices.PriceTable), "" where there are none.
    """

    contract: str
    price_version: str
    customer: str
    project: str
    deployment: str
    model: str
    tier: str
    price_class: str = ""


class Pool(msgspec.Struct, frozen=True, order=True, cache_hash=True, gc=False):
    """What is counted together for a price that depends on quantity: a contract's usage of one price in a month.

    meter, price_class: of the price, so that cached input without a price of its own counts with all other input.
    """

    contract: str
    price_version: str
    model: str
    meter: str
    tier: str
    price_class: str
    period: str


class Reading(msgspec.Struct, frozen=True, order=True, gc=False):
    """The sum of one meter of one series over one UTC hour [hour, hour + 1h).

    An hour that a month boundary of the contract's zone cuts is two readings, the second beginning at the boundary.
    """

    series: Series
    meter: str
    hour: Instant
    quantity: int


class Charge(msgspec.Struct, frozen=True, gc=False):
    """A reading (or a difference of readings) with its exact amount in pico of the contract's currency.

    unit_pico: None where one unit costs more than another. priced_as: the meter whose price it has; another one where
    the meter is a part without a price of its own. price_class: of that price.
    """

    series: Series
    meter: str
    hour: Instant
    quantity: int
    unit_pico: int | None
    amount_pico: int
    priced_as: str
    price_class: str = ""


def reading_of(charge: Charge) -> Reading:
    """What a charge is for."""
    return Reading(charge.series, charge.meter, charge.hour, charge.quantity)
