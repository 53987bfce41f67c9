"""Which upstreams have capacity to spare, as one gateway process sees it."""

from collections.abc import Sequence
from typing import NamedTuple

from entrepot.routing.endpoint import Endpoint
from entrepot.routing.pool import WayT


class Spare(NamedTuple):
    """Of several upstreams together. room: requests they take at a time before nothing is spare; in_flight: there are.

    Both are 0 of those that take any number.
    """

    room: int
    in_flight: int


def with_spare(ways: Sequence[WayT], busy_percent_max: int) -> tuple[WayT, ...]:
    """Those of the ways whose upstream has less than this share in use of what it takes at a time."""
    return tuple([way for way in ways if _has_spare(way.endpoint, busy_percent_max)])


def spare_of(ways: Sequence[WayT], busy_percent_max: int) -> Spare:
    """How full the ways' upstreams are."""
    bounded = [way.endpoint for way in ways if way.endpoint.rules.max_concurrent]
    room = sum(endpoint.rules.max_concurrent * busy_percent_max // 100 for endpoint in bounded)
    return Spare(room, sum(endpoint.in_flight for endpoint in bounded))


def _has_spare(endpoint: Endpoint, busy_percent_max: int) -> bool:
    return endpoint.in_flight * 100 < busy_percent_max * endpoint.slots
