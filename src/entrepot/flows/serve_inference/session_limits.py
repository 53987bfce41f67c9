"""What a realtime session takes of its limits: a request when it begins, and what each of its responses has used.

How long a session will speak nobody knows ahead. So it begins while there is room at all, what its responses use is
taken whether it fits or not, and once a budget is spent it ends; budgets learn of it from the books.
"""

from collections.abc import Sequence

from entrepot.admission.desk import Desk
from entrepot.admission.holds import Hold, Need
from entrepot.core.capacity import Estimate, Used
from entrepot.core.periods import Instant

NOTHING_ASKED = Estimate(0, 0, 0, 0)


class SessionLimits:
    """Of one session."""

    __slots__ = ("_desk", "_hold", "_needs", "_tier")

    def __init__(self, desk: Desk, needs: Sequence[Need], tier: str, hold: Hold) -> None:
        self._desk = desk
        self._needs = needs
        self._tier = tier
        self._hold: Hold | None = hold

    def begin(self, at: Instant) -> None:
        """The session has begun."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.end({}, self._tier, at)

    def release(self, at: Instant) -> None:
        """It ends, perhaps before it has begun."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.release(at)

    def spend(self, meters: dict[str, int], at: Instant) -> None:
        """A response has used so much."""
        self._desk.spend(self._needs, Used(meters, self._tier), at)

    @property
    def is_spent(self) -> bool:
        """Whether a budget has nothing left."""
        return self._desk.is_spent(self._needs)
