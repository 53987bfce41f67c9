"""Lines into a file or a pipe from a thread of its own: a disk may stall for seconds, and a pipe for ever.

The file may be moved or removed at any time (logrotate, with or without a signal): the next lines go to a new one of
its name. Several processes may write to one file: whole lines are appended at once.
"""

import contextlib
import logging
import os
import threading
from collections import deque

WAITING_BYTES_MAX = 4 * 2**20
_ENDING_S_MAX = 2.0

_log = logging.getLogger("entrepot.gateway")


class LineFile:
    """Meets the port LineSink. Nothing is opened, and no thread begun, before there is a line."""

    def __init__(self, path: str, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        self.written = 0
        self._path = path
        self._waiting_bytes_max = waiting_bytes_max
        self._waiting: deque[tuple[bytes, int]] = deque()
        # Each of these is added to by one of the two threads only.
        self._offered_bytes = self._done_bytes = self._refused = self._failed = 0
        self._work = threading.Semaphore(0)
        self._ending = False
        self._failing = False
        self._descriptor = -1
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """How many lines were not written."""
        return self._refused + self._failed

    def offer(self, lines: bytes, count: int) -> None:
        """Takes lines, or drops them when too much waits already."""
        if self._offered_bytes - self._done_bytes + len(lines) > self._waiting_bytes_max:
            self._refused += count
            return
        self._offered_bytes += len(lines)
        self._waiting.append((lines, count))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
            self._thread.start()
        self._work.release()

    def close(self) -> None:
        """Writes what waits, if that can be done soon."""
        self._ending = True
        self._work.release()
        if self._thread is not None:
            self._thread.join(_ENDING_S_MAX)

    def _run(self) -> None:
        while True:
            self._work.acquire()
            if not self._waiting:
                if self._ending:
                    return
                continue
            lines, count = self._waiting.popleft()
            if self._write(lines):
                self.written += count
            else:
                self._failed += count
            self._done_bytes += len(lines)

    def _write(self, lines: bytes) -> bool:
        """Whether the lines were written."""
        try:
            self._open()
            left = memoryview(lines)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self._fail(error)
            return False
        self._failing = False
        return True

    def _open(self) -> None:
        """Opens the file unless the one of its name is open."""
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                there, here = os.stat(self._path), os.fstat(self._descriptor)  # noqa: PTH116 - a path as the operator wrote it
                if (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev):
                    return
            self._close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _fail(self, error: OSError) -> None:
        self._close()
        if not self._failing:
            self._failing = True
            _log.error("access_log_not_written path=%s reason=%s", self._path, error.strerror or error)
