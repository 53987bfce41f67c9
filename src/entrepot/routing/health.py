"""Whether an upstream is fit to be asked: a state machine over what is seen of it. Pure; the time is told.

    closed      takes requests
    open        is not asked before `until`: it was ejected
    half_open   may be tried by one request at a time, or by a check: a success closes, a failure opens for longer

Each ejection lasts twice as long as the last; an upstream that then stays closed for as long is forgiven one.
"""

from typing import Literal

from entrepot.core.periods import Instant
from entrepot.core.upstream_rules import HealthRules

MS = 1_000
CHECKS_FAILED_MAX = 2  # In a row, before a check ejects: one may have hit a restart.
RESTS_MAX = 60_000 * MS  # How long an upstream's Retry-After is believed.

State = Literal["closed", "open", "half_open"]


class Health:
    """One upstream's. requests: how many it was sent so far, as its keeper counts them.

    troubled: a success would change something; resting: it asked for a pause; ejections: not forgiven yet.
    """

    __slots__ = (
        "_base", "_checks_failed", "_closed_at", "_in_a_row", "_rest_until", "_window_began", "_window_failures",
        "ejections", "resting", "rules", "state", "troubled", "until",
    )  # fmt: skip

    def __init__(self, rules: HealthRules) -> None:
        self.rules = rules
        self.state: State = "closed"
        self.until: Instant = 0
        self.ejections = 0
        self.troubled = False
        self.resting = False
        self._rest_until: Instant = 0
        self._closed_at: Instant = 0
        self._in_a_row = 0
        self._checks_failed = 0
        self._window_began: Instant = 0
        self._window_failures = 0
        self._base = 0  # Requests before the window.

    @property
    def is_available(self) -> bool:
        """Whether requests may be sent to it, if only as a trial."""
        return self.state != "open" and not self.resting

    @property
    def back_at(self) -> Instant:
        """When it can be asked again, of one that is not available."""
        return max(self.until if self.state == "open" else 0, self._rest_until if self.resting else 0)

    def succeeded(self, at: Instant) -> None:
        """A request was served."""
        self._in_a_row = 0
        if self.state == "half_open":
            self._close(at)
        self.troubled = self.state != "closed"

    def failed(self, at: Instant, requests: int) -> None:
        """A request failed by the upstream's fault."""
        self.troubled = True
        self._in_a_row += 1
        self._window_failures += 1
        if self.state == "half_open" or (
            self.state == "closed" and (self._in_a_row >= self.rules.failures or self._fails_often(requests))
        ):
            self._open(at)

    def asked_to_rest(self, at: Instant, for_us: int) -> None:
        """The upstream said when to come back."""
        if for_us > 0:
            self.resting = True
            self._rest_until = max(self._rest_until, at + min(for_us, RESTS_MAX))

    def checked(self, good: bool, at: Instant) -> None:
        """A check was answered well, or not. A check cannot cut an ejection short."""
        if good:
            self._checks_failed = 0
            if self.state == "half_open":
                self._close(at)
            return
        self._checks_failed += 1
        if (self.state == "closed" and self._checks_failed >= CHECKS_FAILED_MAX) or self.state == "half_open":
            self._open(at)

    def tick(self, at: Instant, requests: int) -> None:
        """Time has passed."""
        if self.state == "open" and at >= self.until:
            self.state = "half_open"
        elif self.state == "closed" and self.ejections and at - self._closed_at >= self._ejected_for():
            self.ejections -= 1
            self._closed_at = at
        if self.resting and at >= self._rest_until:
            self.resting = False
        if at - self._window_began >= self.rules.window_ms * MS:
            self._window_began = at
            self._window_failures = 0
            self._base = requests

    def _fails_often(self, requests: int) -> bool:
        asked = requests - self._base
        return asked >= self.rules.requests and self._window_failures * 100 >= self.rules.failure_percent * asked

    def _open(self, at: Instant) -> None:
        self.ejections += 1
        self.state = "open"
        self.troubled = True
        self.until = at + self._ejected_for()
        self._in_a_row = 0

    def _close(self, at: Instant) -> None:
        self.state = "closed"
        self._closed_at = at
        self._checks_failed = 0
        self._window_failures = 0

    def _ejected_for(self) -> int:
        """How long the last ejection was, in microseconds."""
        doublings = min(self.ejections - 1, 40)
        return int(min(self.rules.eject_ms << doublings, self.rules.eject_ms_max)) * MS
