"""Clocks; clocks.c, compiled beside this file, is imported in its place."""

import time

from entrepot.core.periods import Instant


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Instant:
        """Now, in UTC; steps when the machine's clock is set."""
        return time.time_ns() // 1000
