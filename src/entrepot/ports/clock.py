"""Time, from outside."""

from typing import Protocol

from entrepot.core.periods import Instant


class Clock(Protocol):
    """Where "now" comes from."""

    def now(self) -> Instant:
        """The current instant; may step backwards."""
        ...
