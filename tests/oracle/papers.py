"""Invoices as they are compared: texts of numbers and of money."""

from fractions import Fraction
from typing import NamedTuple

from tests.oracle.prices import PICO, half_up

DIGITS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}


class Line(NamedTuple):
    """A line of an invoice, as it is compared."""

    kind: str
    month: str
    model: str
    meter: str
    tier: str
    of: str
    quantity: str
    unit: str  # "" where one unit costs more than another
    exact: str
    amount: str
    used: str = ""  # Of a reservation: the hours that were, and what they cost.


class Paper(NamedTuple):
    """An invoice, as it is compared; lines sorted. taxes: (name, net, amount)."""

    period: str
    deal: str
    currency: str
    lines: tuple[Line, ...]
    taxes: tuple[tuple[str, str, str], ...]
    net: str
    tax: str
    total: str
    residual: str


def near(value: Fraction | int) -> str:
    """Decimal text of the nearest value with at most twelve digits behind the point."""
    return str(value) if isinstance(value, int) else decimal(Fraction(half_up(value * PICO), PICO))


def decimal(value: Fraction) -> str:
    """Decimal text without needless digits; the value has at most twelve behind the point."""
    scaled = value * PICO
    assert scaled.denominator == 1, value
    whole, rest = divmod(abs(scaled.numerator), PICO)
    text = f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def money(value: Fraction, currency: str) -> str:
    """Decimal text with the digits of the currency; the value is rounded to them."""
    digits = DIGITS[currency]
    scaled = value * 10**digits
    assert scaled.denominator == 1, value
    sign, units = ("-", -scaled.numerator) if value < 0 else ("", scaled.numerator)
    if not digits:
        return f"{sign}{units}"
    return f"{sign}{units // 10**digits}.{units % 10**digits:0{digits}d}"
