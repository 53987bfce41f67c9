"""A thread that hands batches on, one after the other, and a bounded queue before it."""

import logging
import threading
from collections import deque
from collections.abc import Callable

WAITING_BYTES_MAX = 4 * 2**20
_ENDING_S_MAX = 2.0

_log = logging.getLogger("entrepot.gateway")


class BatchThread:
    """Meets the port BatchSink. No thread is begun before there is a batch."""

    def __init__(self, name: str, hand_on: Callable[[bytes], None], waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        """hand_on: called in the thread; an OSError says that the batch is lost."""
        self.taken = 0
        self._name = name
        self._hand_on = hand_on
        self._waiting_bytes_max = waiting_bytes_max
        self._waiting: deque[tuple[bytes, int]] = deque()
        # Each of these is added to by one of the two threads only.
        self._offered_bytes = self._done_bytes = self._refused = self._failed = 0
        self._work = threading.Semaphore(0)
        self._ending = False
        self._failing = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """How many items were not handed on."""
        return self._refused + self._failed

    def offer(self, batch: bytes, items: int) -> None:
        """Takes a batch, or drops it when too much waits already."""
        if self._offered_bytes - self._done_bytes + len(batch) > self._waiting_bytes_max:
            self._refused += items
            return
        self._offered_bytes += len(batch)
        self._waiting.append((batch, items))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._work.release()

    def close(self) -> None:
        """Hands on what waits, if that can be done soon."""
        self._ending = True
        self._work.release()
        if self._thread is not None:
            self._thread.join(_ENDING_S_MAX)

    def _end(self) -> None:
        """Lets go of what batches are handed on to; called in the thread."""

    def _run(self) -> None:
        while True:
            self._work.acquire()
            if not self._waiting:
                if self._ending:
                    self._end()
                    return
                continue
            batch, items = self._waiting.popleft()
            try:
                self._hand_on(batch)
            except OSError as error:
                self._failed += items
                self._tell(error)
            else:
                self._failing = False
                self.taken += items
            self._done_bytes += len(batch)

    def _tell(self, error: OSError) -> None:
        """Says so once, until it works again."""
        if not self._failing:
            self._failing = True
            _log.error("%s_dropped reason=%s", self._name, error.strerror or error)
