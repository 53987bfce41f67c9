"""Events into readings: how much each adds to which."""

from collections.abc import Callable, Iterable

from entrepot.core.charges import Series
from entrepot.core.periods import Instant
from entrepot.ports.books import MeteredUsage


def increments(metered: Iterable[MeteredUsage]) -> dict[tuple[Series, str, Instant], int]:
    """{(series, meter, hour): quantity} summed over the events, without what no event used."""
    sums: dict[tuple[Series, Instant], dict[str, int]] = {}
    for usage in metered:
        key = (usage.series, usage.hour)
        meters = sums.get(key)
        if meters is None:
            meters = sums[key] = {}
        for meter, quantity in usage.event.meters.items():
            if quantity:
                meters[meter] = meters.get(meter, 0) + quantity
    return {
        (series, meter, hour): quantity for (series, hour), meters in sums.items() for meter, quantity in meters.items()
    }


def uses(
    metered: Iterable[MeteredUsage], period_of: Callable[[str, Instant], str]
) -> dict[tuple[str, Series, str, str], int]:
    """{(period, series, key, meter): quantity} summed over the events. period_of: the month of a contract's hour."""
    sums: dict[tuple[Series, Instant, str], dict[str, int]] = {}
    for usage in metered:
        meters = sums.setdefault((usage.series, usage.hour, usage.event.key), {})
        for meter, quantity in usage.event.meters.items():
            meters[meter] = meters.get(meter, 0) + quantity
    found: dict[tuple[str, Series, str, str], int] = {}
    for (series, hour, key), meters in sums.items():
        period = period_of(series.contract, hour)
        for meter, quantity in meters.items():
            if quantity:
                found[period, series, key, meter] = found.get((period, series, key, meter), 0) + quantity
    return found
