"""How many requests of a pool may try a further upstream: a share of all, so that a pool that fails is not hammered."""

from entrepot.core.periods import SECOND, Instant

WINDOW = 10 * SECOND
RESERVE = 10  # Retries in a window that any pool may make, however few its requests are.


class RetryBudget:
    """Of one pool. refused: retries that were not made for want of budget."""

    __slots__ = ("_base", "_began", "_last", "_percent", "_spent", "refused", "spent")

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._base = 0  # Requests before the last window.
        self._last = 0  # Requests before this one.
        self._began: Instant = 0
        self._spent = 0
        self.spent = 0
        self.refused = 0

    def take(self, requests: int) -> bool:
        """Whether one may be made now; it counts as made. requests: of the pool so far."""
        allowed = RESERVE * 100 + self._percent * (requests - self._base)
        if not self._percent or (self._spent + 1) * 100 > allowed:
            self.refused += 1
            return False
        self._spent += 1
        self.spent += 1
        return True

    def tick(self, at: Instant, requests: int) -> None:
        """Time has passed. A window's retries are measured by its requests and those of the window before."""
        if at - self._began >= WINDOW:
            self._began = at
            self._base, self._last = self._last, requests
            self._spent = 0
