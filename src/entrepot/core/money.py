"""Money as an integer number of pico (1e-12) of the currency's major unit.

A cached token in a batch costs 7.5 nano-dollars, so nano is too coarse; int64 pico overflows at 9.2 million,
so at rest an amount is three integers: how often it has 2^63 micro, micro, pico. No float reaches any function here.
"""

import re
from fractions import Fraction
from typing import Literal

PICO = 10**12
PICO_PER_MICRO = 10**6
MICRO_PER_WIDE = 2**63  # About nine trillion units of a currency.

Rounding = Literal["half_up", "half_even"]

# Digits after the point, where they are not 2. Source: ISO 4217 list one.
_MINOR_DIGITS = {
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_DECIMAL = re.compile(r"(-?)(\d{1,20})(?:\.(\d{1,12}))?", re.ASCII)


def minor_digits(currency: str) -> int:
    """Digits after the point of the currency's minor unit: 2 for USD, 0 for JPY, 3 for KWD."""
    return _MINOR_DIGITS.get(currency, 2)


def parse_pico(text: str) -> int:
    """The amount of a decimal string in pico; at most 12 digits after the point.

    Raises: ValueError with a sentence for the user.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a decimal number with at most 12 digits after the point")
    sign, whole, fraction = match.groups()
    pico = int(whole) * PICO + int((fraction or "").ljust(12, "0"))
    return -pico if sign else pico


def format_pico(pico: int, digits_min: int = 0) -> str:
    """The amount as a decimal string without trailing zeros beyond digits_min: 885314750000 -> "0.88531475"."""
    whole, fraction = divmod(abs(pico), PICO)
    shown = f"{fraction:012d}".rstrip("0").ljust(digits_min, "0")
    sign = "-" if pico < 0 else ""
    return f"{sign}{whole}.{shown}" if shown else f"{sign}{whole}"


def round_to_minor(pico: int, currency: str, rounding: Rounding = "half_up") -> int:
    """The amount, still in pico, rounded to the currency's minor unit; half_up rounds halves away from zero."""
    return _rounded(pico, 1, currency, rounding)


def round_share_to_minor(pico: Fraction, currency: str, rounding: Rounding = "half_up") -> int:
    """The same of an amount that is not whole pico, such as a part of another one: rounded once, from what it is."""
    return _rounded(pico.numerator, pico.denominator, currency, rounding)


def _rounded(numerator: int, denominator: int, currency: str, rounding: Rounding) -> int:
    minor: int = 10 ** (12 - minor_digits(currency))
    unit = minor * denominator
    whole, rest = divmod(abs(numerator), unit)
    up = rest * 2 > unit or (rest * 2 == unit and (rounding == "half_up" or whole % 2 == 1))
    rounded = (whole + up) * minor
    return -rounded if numerator < 0 else rounded


def divide_half_up(numerator: int, denominator: int) -> int:
    """The nearest whole number to numerator / denominator, halves away from zero. denominator: above zero."""
    quotient = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -quotient if numerator < 0 else quotient


def format_parts(quantity: int, parts: int) -> str:
    """So many parts of a unit as a decimal string, to the twelfth digit: 22,750 sixtieths -> "379.166666666667"."""
    return format_pico(divide_half_up(quantity * PICO, parts))


def format_minor(pico: int, currency: str) -> str:
    """A rounded amount with exactly the currency's digits: "0.31", "187" for JPY. Asserts that it is rounded."""
    digits = minor_digits(currency)
    assert pico % 10 ** (12 - digits) == 0, f"{pico} pico is not rounded to {currency}"
    return format_pico(pico, digits)


def grouped(text: str) -> str:
    """A decimal string with commas between thousands, for people: "1234567.50" -> "1,234,567.50"."""
    whole, point, fraction = text.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.removeprefix('-')):,}{point}{fraction}"


def split_pico(pico: int) -> tuple[int, int, int]:
    """(wide, micro, pico remainder 0..999999): the amount in three columns, for stores of integers of 64 bits."""
    micro, remainder = divmod(pico, PICO_PER_MICRO)
    wide = abs(micro) // MICRO_PER_WIDE * (-1 if micro < 0 else 1)
    return wide, micro - wide * MICRO_PER_WIDE, remainder


def join_pico(wide: int, micro: int, remainder: int) -> int:
    """The amount from its three stored columns, or from the columns' sums."""
    return (wide * MICRO_PER_WIDE + micro) * PICO_PER_MICRO + remainder
