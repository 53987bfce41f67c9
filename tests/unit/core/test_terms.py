"""Terms: percentages, discounted prices, and what a commitment comes to."""

import pytest

from entrepot.core.prices import Price, PriceBookVersion, Step
from entrepot.core.terms import SHARE, Commitment, Discount, Reservation, discounted, parse_percent


@pytest.mark.parametrize(("text", "share"), [("0", 0), ("100", SHARE), ("12.5", SHARE // 8), ("0.0000000001", 1)])
def test_a_percentage_is_a_share_of_the_whole(text: str, share: int) -> None:
    assert parse_percent(text) == share


@pytest.mark.parametrize("text", ["100.0000000001", "-1", "0.00000000001"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a percentage"):
        parse_percent(text)


def test_a_discount_rounds_each_price_half_up_and_keeps_to_its_models() -> None:
    stepped = Price("m", "images", "default", 0, mode="graduated", steps=(Step(10, 5), Step(None, 3)))
    version = PriceBookVersion(
        "v", "list", 0, (Price("m", "seats", "default", 5), stepped, Price("n", "seats", "x", 5))
    )
    changed = discounted(version, [Discount(SHARE // 2, ("m",)), Discount(SHARE // 3)])
    assert [price.unit_pico for price in changed.prices] == [2, 0, 3]  # 5 to 2.5, 3, to 2; 5 to 3.33.
    assert changed.prices[1].steps == (Step(10, 2), Step(None, 1))


def test_a_commitment_covers_what_its_discount_makes_it_last_for() -> None:
    term = Commitment(100, 0, 1, share=SHARE // 3, overage_share=2 * SHARE)
    assert term.covers_pico == 150
    assert [term.drawn_pico(charged) for charged in (-5, 0, 75, 149, 150, 151)] == [0, 0, 50, 99, 100, 100]
    assert [term.overage_pico(charged) for charged in (150, 151, 153)] == [0, 1, 4]


def test_a_reservation_is_of_a_model_where_there_is_only_one() -> None:
    of = [Reservation("r", 1, 1, 0, 1, models).model for models in ((), ("m",), ("m", "n"))]
    assert of == ["", "m", ""]
