"""Events into readings: how much each adds to which."""

from collections.abc import Iterable

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
