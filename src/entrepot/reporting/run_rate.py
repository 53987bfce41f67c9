"""A month's revenue as a year's, the two common ways, side by side over the months that were invoiced."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec

from entrepot.core.invoices import Invoice
from entrepot.core.money import parse_pico
from entrepot.core.periods import DAY, Period, parse_period
from entrepot.reporting.figures import money_text, percent_text

_DAYS_OF_YEAR = 365  # As is usual, also in leap years, so that years compare.


class MonthRate(msgspec.Struct, frozen=True):
    """A month and the years it would make. quarter_times_4: of the three months that end here, if all are invoiced."""

    period: str
    revenue: str
    change_percent: str | None
    days: int
    times_12: str
    times_365_over_days: str
    quarter_times_4: str | None


class RunRates(msgspec.Struct, frozen=True):
    """All invoiced months of a currency, oldest first."""

    currency: str
    months: tuple[MonthRate, ...]


def days_of(period: Period) -> int:
    """The days of a month."""
    return (period.end("UTC") - period.start("UTC")) // DAY


def times_twelve(pico: int) -> int:
    """Twelve such months."""
    return 12 * pico


def day_normalised(pico: int, period: Period) -> Fraction:
    """A year of such days: revenue x 365 / days of the month."""
    return Fraction(pico * _DAYS_OF_YEAR, days_of(period))


def run_rates(invoices: Iterable[Invoice]) -> tuple[RunRates, ...]:
    """The run-rates of each currency, by its code. Revenue is what was invoiced, net of tax."""
    totals: dict[str, dict[Period, int]] = defaultdict(lambda: defaultdict(int))
    for invoice in invoices:
        totals[invoice.currency][parse_period(invoice.period)] += parse_pico(invoice.net)
    return tuple(RunRates(currency, _months(currency, months)) for currency, months in sorted(totals.items()))


def _months(currency: str, months: dict[Period, int]) -> tuple[MonthRate, ...]:
    return tuple(_month(currency, months, period) for period in sorted(months))


def _month(currency: str, months: dict[Period, int], period: Period) -> MonthRate:
    last_three = _before(period, 3)
    pico, before = months[period], months.get(last_three[1], 0)
    return MonthRate(
        period=str(period),
        revenue=money_text(pico, currency),
        change_percent=percent_text(Fraction(pico - before, before)) if before > 0 else None,
        days=days_of(period),
        times_12=money_text(times_twelve(pico), currency),
        times_365_over_days=money_text(day_normalised(pico, period), currency),
        quarter_times_4=_quarter(currency, months, last_three),
    )


def _quarter(currency: str, months: dict[Period, int], three: Sequence[Period]) -> str | None:
    if all(period in months for period in three):
        return money_text(4 * sum(months[period] for period in three), currency)
    return None


def _before(period: Period, count: int) -> list[Period]:
    """The period and those before it, the latest first."""
    found = [period]
    while len(found) < count:
        last = found[-1]
        found.append(Period(last.year, last.month - 1) if last.month > 1 else Period(last.year - 1, 12))
    return found
