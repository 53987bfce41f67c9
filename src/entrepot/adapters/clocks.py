"""Clocks."""

from time import time_ns

from entrepot.core.periods import Instant


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Instant:
        """Now, in UTC; steps when the machine's clock is set."""
        return time_ns() // 1000
