"""Exchange rates: what one unit of a currency is in another, on a date."""

from collections.abc import Iterable

import msgspec

from entrepot.core.money import PICO, divide_half_up, parse_pico
from entrepot.core.periods import Instant


class ExchangeRate(msgspec.Struct, frozen=True):
    """What one unit of `sold` is in pico of `bought`, from an instant on until a later rate of the same two."""

    sold: str
    bought: str
    at: Instant
    rate_pico: int

    @property
    def id(self) -> str:
        """What names it among all rates."""
        return f"{self.sold}-{self.bought}@{self.at}"


def rate_at(rates: Iterable[ExchangeRate], sold: str, bought: str, at: Instant) -> int | None:
    """The rate in force at an instant, in pico, or None. One of the other direction does not count: it has a spread."""
    known = [rate for rate in rates if (rate.sold, rate.bought) == (sold, bought) and rate.at <= at]
    return max(known, key=lambda rate: rate.at).rate_pico if known else None


def convert_pico(amount_pico: int, rate_pico: int) -> int:
    """The amount in the other currency, rounded half up to whole pico."""
    return divide_half_up(amount_pico * rate_pico, PICO)


def parse_rate(text: str) -> int:
    """The rate of a decimal string. Raises: ValueError with a sentence for the user."""
    pico = parse_pico(text)
    if pico <= 0:
        raise ValueError(f"an exchange rate must be above zero, not {text}")
    return pico
