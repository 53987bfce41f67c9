"""Fractions written down: rounded once, half away from zero, never through a float."""

from fractions import Fraction

from entrepot.core.money import divide_half_up, format_minor, round_share_to_minor


def decimal_text(value: Fraction, digits: int) -> str:
    """The value with exactly so many digits after the point, halves rounded away from zero: 2603.8781… -> "2603.88"."""
    scaled = value * 10**digits
    whole = divide_half_up(scaled.numerator, scaled.denominator)
    text = f"{abs(whole):0{digits + 1}d}"
    sign = "-" if whole < 0 else ""
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def percent_text(share: Fraction) -> str:
    """A share of one as a percentage with two digits: 1/3 -> "33.33"."""
    return decimal_text(share * 100, 2)


def money_text(pico: Fraction | int, currency: str) -> str:
    """An amount in pico, whole or not, in the currency's minor unit."""
    return format_minor(round_share_to_minor(Fraction(pico), currency), currency)
