"""Fractions written down: rounded once, half away from zero, never through a float."""

from fractions import Fraction

from entrepot.core.money import PICO, divide_half_up, format_minor, format_pico, round_share_to_minor


def decimal_text(value: Fraction) -> str:
    """The value with two digits after the point, halves rounded away from zero: 2603.8781… -> "2603.88"."""
    return format_pico(divide_half_up(value.numerator * 100, value.denominator) * (PICO // 100), 2)


def percent_text(share: Fraction) -> str:
    """A share of one as a percentage with two digits: 1/3 -> "33.33"."""
    return decimal_text(share * 100)


def money_text(pico: Fraction | int, currency: str) -> str:
    """An amount in pico, whole or not, in the currency's minor unit."""
    return format_minor(round_share_to_minor(Fraction(pico), currency), currency)
