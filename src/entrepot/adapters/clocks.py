"""Clocks; clocks.c, compiled beside this file, is imported in its place."""

import time

from entrepot.core.periods import Instant


class SystemClock:
    """The machine's own clock."""

    def __init__(self) -> None:
        self._ahead = 0

    def now(self) -> Instant:
        """Now, in UTC; steps when the machine's clock is set."""
        return time.time_ns() // 1000 + self._ahead

    def go_ahead(self, by_us: int) -> None:
        """From now on it says so many microseconds more."""
        self._ahead += by_us
