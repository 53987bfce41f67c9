"""Checks of upstreams whose rules have a path for it: made by the process every few seconds, not by requests."""

from functools import partial

from entrepot.core.periods import Instant
from entrepot.flows.serve_inference.ways import Way, Ways
from entrepot.relay.check import Check
from entrepot.relay.destination import Place

_MS = 1000
_NAME = "check"  # In place of a request id, in the upstream's log.


class Checks:
    """Of one process. A check that has no answer when the next one is due has failed."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._due: dict[Place, Instant] = {}
        self._running: dict[Place, Check] = {}

    def sweep(self, at: Instant) -> None:
        """Begins the checks that are due. To be called a few times a second."""
        places = self._ways.places
        for place in [place for place in self._due if place not in places]:
            del self._due[place]
            if (last := self._running.pop(place, None)) is not None:
                last.cancel()
        for place, way in places.items():
            rules = way.endpoint.rules.health
            if rules.check_path and at >= self._due.get(place, 0):
                self._due[place] = at + rules.check_every_ms * _MS
                self._check(place, way, rules.check_path, at)

    def _check(self, place: Place, way: Way, path: str, at: Instant) -> None:
        last = self._running.pop(place, None)
        if last is not None:
            last.cancel()
            self._ways.fleet.checked(way.endpoint, False, at)
        check = Check(way.destination.bare_request("GET", path, _NAME), partial(self._checked, place, way, at))
        self._running[place] = check
        check.start(way.lane)

    def _checked(self, place: Place, way: Way, at: Instant, good: bool) -> None:
        """at: when it began, which is near enough."""
        self._running.pop(place, None)
        self._ways.fleet.checked(way.endpoint, good, at)
