"""Lines into a file or a pipe: a disk may stall for seconds, and a pipe for ever.

The file may be moved or removed at any time (logrotate, with or without a signal): the next lines go to a new one of
its name. Several processes may write to one file: whole lines are appended at once.
"""

import contextlib
import os

from entrepot.adapters.handed_on.batch_thread import WAITING_BYTES_MAX, BatchThread


class LineFile(BatchThread):
    """Meets the port BatchSink; an item is a line. Nothing is opened before there is a line."""

    def __init__(self, path: str, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        super().__init__("access_log_lines", self._write, waiting_bytes_max)
        self._path = path
        self._descriptor = -1

    def _write(self, lines: bytes) -> None:
        try:
            self._open()
            left = memoryview(lines)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self._end()
            raise

    def _open(self) -> None:
        """Opens the file unless the one of its name is open."""
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(self._descriptor)):  # noqa: PTH116 - beside fstat
                    return
            self._end()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def _end(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
