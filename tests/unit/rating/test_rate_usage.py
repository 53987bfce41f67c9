"""Reading x price."""

import msgspec
import pytest

from entrepot.core.charges import Charge, Pool, Reading, Series
from entrepot.core.prices import Price, Step
from entrepot.core.terms import Reservation
from entrepot.core.tokens import COVERED_MINUTES, RESERVED_MINUTES, UNIT_MINUTES
from entrepot.core.world import WorldIndex
from entrepot.rating.rate_usage import Rater
from tests.support.billing import APRIL, MARCH, SERIES, contract, prices, version, world

STEPPED = Price("m", "images", "default", 0, mode="graduated", steps=(Step(10, 4), Step(None, 3)))
PRICES = (*prices(("m", "input_tokens", "0.15"), ("m", "output_tokens", "0.6")), STEPPED)
TERMS = WorldIndex(world(version(PRICES)))
POOL = Pool("acme@2024-01-01", "list@2024-01-01", "m", "images", "default", "", "2024-03")


def images(quantity: int, hour: int = MARCH, series: Series = SERIES) -> Reading:
    """A reading of what is priced by steps."""
    return Reading(series, "images", hour, quantity)


def test_a_charge_is_exact() -> None:
    reading = Reading(SERIES, "input_tokens", MARCH, 10**15)
    assert Rater(TERMS).rate(reading) == Charge(
        SERIES, "input_tokens", MARCH, 10**15, 150_000, 150_000 * 10**15, "input_tokens"
    )


def test_a_part_is_priced_as_its_whole() -> None:
    charge = Rater(TERMS).rate(Reading(SERIES, "reasoning_tokens", MARCH, -2))
    assert (charge.unit_pico, charge.amount_pico, charge.priced_as) == (600_000, -1_200_000, "output_tokens")


def test_steps_are_counted_through_the_month_over_all_deployments_from_what_was_rated_before() -> None:
    rater = Rater(TERMS, {POOL: 7}.get)
    other = msgspec.structs.replace(SERIES, project="shop", deployment="draw")
    charges = [rater.rate(images(2)), rater.rate(images(2, series=other)), rater.rate(images(-3))]
    assert [charge.amount_pico for charge in charges] == [8, 4 + 3, -3 - 2 * 4]
    assert {charge.unit_pico for charge in charges} == {None}
    assert rater.pooled == {POOL: 8}


def test_a_month_begins_at_nothing() -> None:
    rater = Rater(TERMS)
    assert [rater.rate(images(20, hour)).amount_pico for hour in (MARCH, APRIL)] == [70, 70]
    assert {pool.period: quantity for pool, quantity in rater.pooled.items()} == {"2024-03": 20, "2024-04": 20}


def test_unit_minutes_are_parts_of_an_hours_price_and_round_once_a_month() -> None:
    """At 1 pico an hour, of which half an hour is a half; what a reservation covers costs nothing beside it."""
    reserved = contract("acme", terms=(Reservation("reservation-1", 5, 90, MARCH, APRIL),))
    rater = Rater(
        WorldIndex(world(version((Price("m", "provisioned_unit_hours", "default", 1),)), contracts=[reserved]))
    )
    halves = [rater.rate(Reading(SERIES, UNIT_MINUTES, hour, 30)) for hour in (MARCH, MARCH + 1, APRIL)]
    assert [(charge.amount_pico, charge.unit_pico) for charge in halves] == [(1, 1), (0, 1), (1, 1)]
    of = msgspec.structs.replace(SERIES, price_class="reservation-1", price_version="")
    covered, held = (rater.rate(Reading(of, meter, MARCH, 40)) for meter in (COVERED_MINUTES, RESERVED_MINUTES))
    assert (covered.amount_pico, covered.unit_pico) == (0, 0)
    assert (held.amount_pico, held.unit_pico, held.price_class) == (60, 90, "reservation-1")


def test_no_price_and_no_such_version_are_bugs() -> None:
    with pytest.raises(AssertionError, match="has no price for seats"):
        Rater(TERMS).rate(Reading(SERIES, "seats", MARCH, 1))
    with pytest.raises(KeyError, match="list@2024-02-01"):
        Rater(TERMS).rate(images(1, series=msgspec.structs.replace(SERIES, price_version="list@2024-02-01")))
