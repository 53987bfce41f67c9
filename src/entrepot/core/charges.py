"""Readings and charges: what was used in an hour, and what it costs."""

import msgspec

from entrepot.core.periods import Instant


class Series(msgspec.Struct, frozen=True, order=True, cache_hash=True, gc=False):
    """What a reading is counted for: all of a usage event that decides who is charged for it, and at which price.

    contract and price_version are fixed at the event's admission.
    """

    contract: str
    price_version: str
    customer: str
    project: str
    deployment: str
    model: str
    tier: str


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

    priced_as: the meter whose price it has; another one where the meter is a part without a price of its own.
    """

    series: Series
    meter: str
    hour: Instant
    quantity: int
    unit_pico: int
    amount_pico: int
    priced_as: str
