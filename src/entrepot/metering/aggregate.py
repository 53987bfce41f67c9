"""Events into readings: how much each adds to which."""

from collections.abc import Iterable

from entrepot.core.charges import Series
from entrepot.core.periods import Instant
from entrepot.ports.books import MeteredUsage


def increments(metered: Iterable[MeteredUsage]) -> dict[tuple[Series, str, Instant], int]:
    """{(series, meter, hour): quantity} summed over the events, without what no event used."""
    sums: dict[tuple[Series, str, Instant], int] = {}
    for usage in metered:
        series, hour = usage.series, usage.hour
        for meter, quantity in usage.event.meters.items():
            if quantity:
                key = (series, meter, hour)
                sums[key] = sums.get(key, 0) + quantity
    return sums
