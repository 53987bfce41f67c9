"""Clocks."""

import time
from typing import Final

from entrepot.core.periods import Instant

_time_ns: Final = time.time_ns


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Instant:
        """Now, in UTC; steps when the machine's clock is set."""
        return _time_ns() // 1000
