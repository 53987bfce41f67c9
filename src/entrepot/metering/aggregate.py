"""Events into readings: how much each adds to which."""

from collections.abc import Callable, Iterable, Mapping

from entrepot.core.charges import Series
from entrepot.core.periods import Instant
from entrepot.ports.books import MeteredUsage

Sums = Mapping[tuple[Series, Instant, str], Mapping[str, int]]


def summed(metered: Iterable[MeteredUsage]) -> Sums:
    """{(series, hour, key): {meter: quantity}} over the events, without what no event used."""
    sums: dict[tuple[Series, Instant, str], dict[str, int]] = {}
    for usage in metered:
        event = usage.event
        place = (usage.series, usage.hour, event.key)
        meters = sums.get(place)
        if meters is None:
            meters = sums[place] = {}
        for meter, quantity in event.meters.items():
            if quantity:
                meters[meter] = meters.get(meter, 0) + quantity
    return sums


def increments(sums: Sums) -> dict[tuple[Series, str, Instant], int]:
    """{(series, meter, hour): quantity}."""
    found: dict[tuple[Series, str, Instant], int] = {}
    for (series, hour, _), meters in sums.items():
        for meter, quantity in meters.items():
            found[series, meter, hour] = found.get((series, meter, hour), 0) + quantity
    return found


def uses(sums: Sums, period_of: Callable[[str, Instant], str]) -> dict[tuple[str, Series, str, str], int]:
    """{(period, series, key, meter): quantity}. period_of: the month of a contract's hour."""
    found: dict[tuple[str, Series, str, str], int] = {}
    for (series, hour, key), meters in sums.items():
        period = period_of(series.contract, hour)
        for meter, quantity in meters.items():
            found[period, series, key, meter] = found.get((period, series, key, meter), 0) + quantity
    return found
