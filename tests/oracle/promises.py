"""What a commitment makes of usage: so much of it is spent, so much is beyond it."""

from fractions import Fraction
from math import ceil, floor

from tests.oracle import calendar
from tests.oracle.cases import Promise
from tests.oracle.prices import PICO, number

_NOTHING = Fraction(0)


def last_month(promise: Promise) -> str:
    """The last month of its term."""
    month = promise.first
    while calendar.following(month) != promise.last:
        month = calendar.following(month)
    return month


def covers(promise: Promise) -> Fraction:
    """How much usage at list a commitment covers; whole pico, so that none of it is left."""
    return Fraction(ceil(number(promise.amount) * 100 / (100 - number(promise.percent)) * PICO), PICO)


def drawn_of(promise: Promise, charged: Fraction) -> Fraction:
    """What of it is spent, in whole pico, once usage came to so much at list."""
    spent = max(_NOTHING, charged) * (100 - number(promise.percent)) / 100
    return min(number(promise.amount), Fraction(floor(spent * PICO), PICO))


def beyond_it(promise: Promise, charged: Fraction) -> Fraction:
    """What is owed beyond it, in whole pico."""
    beyond = max(_NOTHING, charged - covers(promise))
    if not promise.overage:
        return beyond
    owed = beyond * (100 - number(promise.percent)) / 100 * number(promise.overage)
    return Fraction(floor(owed * PICO), PICO)
