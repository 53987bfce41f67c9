"""What a process does when the machine's clock is set back.

Limits, queues, ejections and kept answers are timed by the clock, and none of them follows it back: they would stand
still until the time that they know comes again. So the process goes on as if the clock had not been set, and another
one, which begins with the time as it is now, takes its place.
"""

import time

from entrepot.adapters.clocks import SystemClock
from entrepot.core.periods import SET_BACK_US, Instant


class SetBack:
    """Keeps a process's clock from going back by more than SET_BACK_US."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._ahead: Instant = 0
        self._offset = clock.now() - _elapsed_us()

    def look(self) -> Instant:
        """By how many microseconds the machine's clock was set back since the last look, or 0; to be called often.

        The clock is that much ahead of the machine's from then on, until the machine's is put forward again.
        """
        offset = self._clock.now() - _elapsed_us()
        forward = offset - self._offset
        if forward >= -SET_BACK_US and not (self._ahead and forward > SET_BACK_US):
            self._offset = offset
            return 0
        by = max(-forward, -self._ahead)
        self._clock.go_ahead(by)
        self._ahead += by
        self._offset = offset + by
        return max(by, 0)


def _elapsed_us() -> int:
    """Since some instant; goes on alike whatever is done to the clock."""
    return time.monotonic_ns() // 1000
