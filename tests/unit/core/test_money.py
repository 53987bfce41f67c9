"""Money: parsing, printing and the one rounding, on the cases of the rounding trap."""

import pytest

from entrepot.core.money import (
    MICRO_PER_WIDE,
    PICO,
    PICO_PER_MICRO,
    format_minor,
    format_parts,
    format_pico,
    grouped,
    join_pico,
    minor_digits,
    parse_pico,
    round_to_minor,
    split_pico,
)


@pytest.mark.parametrize(
    ("text", "pico"),
    [
        ("0", 0),
        ("1", PICO),
        ("-0.5", -PICO // 2),
        ("0.000000000001", 1),
        ("0.88531475", 885_314_750_000),
        ("9300000", 9_300_000 * PICO),
    ],
)
def test_decimal_strings_are_read_exactly(text: str, pico: int) -> None:
    assert parse_pico(text) == pico


@pytest.mark.parametrize("text", ["", "1.", ".5", "1e3", "1,5", "0.0000000000001", "NaN", "+1", " 1", "1 ", "--1", "٣"])
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal number"):
        parse_pico(text)


@pytest.mark.parametrize(
    ("exact", "half_up", "half_even"),
    [
        ("0.125", "0.13", "0.12"),
        ("-0.125", "-0.13", "-0.12"),
        ("2.665", "2.67", "2.66"),
        ("0.124999999999", "0.12", "0.12"),
        ("20.55", "20.55", "20.55"),
    ],
)
def test_ties_go_where_the_mode_says(exact: str, half_up: str, half_even: str) -> None:
    amount = parse_pico(exact)
    assert format_minor(round_to_minor(amount, "USD", "half_up"), "USD") == half_up
    assert format_minor(round_to_minor(amount, "USD", "half_even"), "USD") == half_even


def test_the_minor_unit_is_the_currencys() -> None:
    assert (minor_digits("JPY"), minor_digits("USD"), minor_digits("KWD")) == (0, 2, 3)
    assert format_minor(round_to_minor(parse_pico("186876.5415"), "JPY"), "JPY") == "186877"
    assert format_minor(round_to_minor(parse_pico("379.16049"), "KWD"), "KWD") == "379.160"


def test_printing_an_unrounded_amount_as_minor_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="not rounded"):
        format_minor(1, "USD")


def test_printing_drops_only_needless_zeros() -> None:
    assert format_pico(parse_pico("100.10")) == "100.1"
    assert format_pico(0) == "0"
    assert format_pico(-1) == "-0.000000000001"


@pytest.mark.parametrize(
    ("quantity", "parts", "text"),
    [
        (22_750, 60, "379.166666666667"),
        (-22_750, 60, "-379.166666666667"),
        (0, 60, "0"),
        (1, 3, "0.333333333333"),
        (1, 2 * PICO, "0.000000000001"),
    ],
)
def test_parts_of_a_unit_are_shown_to_the_twelfth_digit(quantity: int, parts: int, text: str) -> None:
    assert format_parts(quantity, parts) == text


@pytest.mark.parametrize(
    ("tie", "even"),
    [("0.005", "0"), ("0.015", "0.02"), ("0.025", "0.02"), ("0.035", "0.04"), ("0.045", "0.04"), ("-0.015", "-0.02")],
)
def test_halves_go_to_the_even_neighbour_where_that_is_the_mode(tie: str, even: str) -> None:
    assert format_pico(round_to_minor(parse_pico(tie), "USD", "half_even")) == even


@pytest.mark.parametrize(
    ("micro", "remainder", "columns"),
    [
        (0, 0, (0, 0, 0)),
        (-1, 999_999, (0, -1, 999_999)),
        (MICRO_PER_WIDE - 1, 5, (0, MICRO_PER_WIDE - 1, 5)),
        (MICRO_PER_WIDE, 0, (1, 0, 0)),
        (-MICRO_PER_WIDE, 0, (-1, 0, 0)),
        (1 - 2 * MICRO_PER_WIDE, 7, (-1, 1 - MICRO_PER_WIDE, 7)),
    ],
)
def test_an_amount_of_any_size_is_three_columns(micro: int, remainder: int, columns: tuple[int, int, int]) -> None:
    amount = micro * PICO_PER_MICRO + remainder
    assert split_pico(amount) == columns
    assert join_pico(*columns) == amount


def test_thousands_are_set_apart_for_people() -> None:
    shown = {"1234567.50": "1,234,567.50", "-1234.5": "-1,234.5", "-0.50": "-0.50", "999": "999", "0.07": "0.07"}
    assert {text: grouped(text) for text in shown} == shown
