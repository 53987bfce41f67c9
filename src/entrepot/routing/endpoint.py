"""One upstream as a gateway process sees it: how many requests are at it, whether it takes more, and its health."""

from typing import Final

from entrepot.core.upstream_rules import UpstreamRules
from entrepot.routing.health import Health

_ANY_NUMBER: Final = 2**31


class Endpoint:
    """Entered by each attempt at it, and left once.

    started, failed: attempts so far; full: how many were turned away. slots: how many may be in at a time; none while
    only a trial may enter.
    """

    __slots__ = ("_before", "_trial", "failed", "full", "health", "in_flight", "rules", "slots", "started", "upstream")

    def __init__(self, upstream: str, rules: UpstreamRules) -> None:
        self.upstream = upstream
        self.in_flight = 0
        self.started = 0
        self.failed = 0
        self.full = 0
        self.health = Health(rules.health)
        self._trial = False  # One is under way.
        self._before = 0  # How many are in that began before trials.
        self.obey(rules)

    def obey(self, rules: UpstreamRules) -> None:
        """Goes by these rules from now on."""
        self.rules = rules
        self.health.rules = rules.health
        self.set_slots()

    def set_slots(self) -> None:
        """To be called when the health has another state."""
        self.slots = 0 if self.health.state == "half_open" else self.rules.max_concurrent or _ANY_NUMBER
        self._trial = False
        self._before = self.in_flight

    def enter(self, *, untried: bool = False) -> bool:
        """Whether an attempt may begin; if so it must be left. untried: even where only a trial may enter."""
        if self.in_flight >= self.slots and not self._begin_trial() and (self.slots or not untried):
            self.full += 1
            return False
        self.in_flight += 1
        self.started += 1
        return True

    def leave(self) -> None:
        """An attempt is over. How it went is said to the fleet."""
        self.in_flight -= 1
        if not self.slots:
            if self._before:
                self._before -= 1
            else:
                self._trial = False

    @property
    def is_full(self) -> bool:
        """Whether it takes no more for now, for the number of those that are in."""
        return bool(self.slots) and self.in_flight >= self.slots

    def _begin_trial(self) -> bool:
        if self.health.state != "half_open" or self._trial:
            return False
        self._trial = True
        return True
