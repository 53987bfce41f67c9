"""A gateway, or the process that keeps counters, for real, on a machine whose clock a test sets.

CLOCK_FILE=FILE python tests/support/set_clock.py gateway --port PORT      how far the clock is ahead, in
CLOCK_FILE=FILE python tests/support/set_clock.py counters --home DIR      microseconds, is in the file
"""

import os
import sys
import time
from pathlib import Path

from entrepot.compose import counter_process, gateway
from entrepot.core.periods import Instant

PROGRAMS = {"gateway": gateway, "counters": counter_process}


class SetClock:
    """In place of SystemClock."""

    def __init__(self) -> None:
        self._file = Path(os.environ["CLOCK_FILE"])
        self._ahead = 0

    def now(self) -> Instant:
        """As SystemClock has it."""
        return time.time_ns() // 1000 + int(self._file.read_text()) + self._ahead

    def go_ahead(self, by_us: int) -> None:
        """As SystemClock has it."""
        self._ahead += by_us


if __name__ == "__main__":
    program = PROGRAMS[sys.argv[1]]
    setattr(program, "SystemClock", SetClock)  # noqa: B010
    sys.exit(program.main(sys.argv[2:]))
