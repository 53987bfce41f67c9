"""Reading x price."""

import msgspec
import pytest

from entrepot.core.charges import Charge, Reading
from entrepot.core.prices import PriceTable
from entrepot.rating.rate_usage import rate
from tests.support.billing import MARCH, SERIES, prices, version

TABLE = PriceTable(version(prices(("m", "input_tokens", "0.15"), ("m", "output_tokens", "0.6"))))


def test_a_charge_is_exact() -> None:
    reading = Reading(SERIES, "input_tokens", MARCH, 10**15)
    assert rate(reading, TABLE) == Charge(
        SERIES, "input_tokens", MARCH, 10**15, 150_000, 150_000 * 10**15, "input_tokens"
    )


def test_a_part_is_priced_as_its_whole() -> None:
    charge = rate(Reading(SERIES, "reasoning_tokens", MARCH, -2), TABLE)
    assert (charge.unit_pico, charge.amount_pico, charge.priced_as) == (600_000, -1_200_000, "output_tokens")


def test_no_price_and_another_version_are_bugs() -> None:
    with pytest.raises(AssertionError, match="has no price for images"):
        rate(Reading(SERIES, "images", MARCH, 1), TABLE)
    other = msgspec.structs.replace(SERIES, price_version="list@2024-02-01")
    with pytest.raises(AssertionError, match="is not the version"):
        rate(Reading(other, "input_tokens", MARCH, 1), TABLE)
