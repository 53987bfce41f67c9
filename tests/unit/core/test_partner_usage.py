"""Rows of partners' files: how far they may be from ours, and two of one cell as one."""

import pytest

from entrepot.core.money import PICO
from entrepot.core.partner_usage import PartnerCharges, ReportedRow, Tolerance, summed

CENT = PICO // 100
ROW = ReportedRow(7, "org", "key_a", "gpt-4", "input_tokens")


@pytest.mark.parametrize(
    ("of", "counted", "allowed"),
    [
        ("cost", 50 * PICO, CENT),
        ("cost", -500 * PICO, 5 * CENT),
        ("output_tokens", 10**6 * PICO, 100 * PICO),
        ("output_tokens", 0, 0),
    ],
)
def test_a_hundredth_of_a_per_cent_is_allowed_and_a_cent(of: str, counted: int, allowed: int) -> None:
    assert PartnerCharges().allowed_pico(of, counted) == allowed


def test_a_meters_own_tolerance_goes_before_that_of_any() -> None:
    charges = PartnerCharges(tolerances=(Tolerance("any", share=PICO // 10), Tolerance("images", least_pico=3)))
    assert [charges.allowed_pico(of, 100) for of in ("images", "cost")] == [3, 10]
    assert PartnerCharges(tolerances=(Tolerance("images", least_pico=3),)).allowed_pico("cost", 100) == 0


def test_rows_of_one_cell_are_one() -> None:
    tokens = ReportedRow(*ROW.cell, quantity="5", quantity_slack="0.5")
    money = ReportedRow(*ROW.cell, quantity="6", cost="1.25", currency="USD", cost_slack="0.005")
    both = ReportedRow(*ROW.cell, quantity="11", cost="1.25", currency="USD", quantity_slack="0.5", cost_slack="0.005")
    assert summed(tokens, money) == both
    assert summed(money, tokens) == both
    assert summed(money, money).cost == "2.5"
    assert tokens.cell == money.cell == (7, "org", "key_a", "gpt-4", "input_tokens")
