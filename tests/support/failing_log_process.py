"""The log process, for real, on a disk that does as the file HOME/fault says: it is "full", a "sync" fails, or it hangs
in a "stall".

python tests/support/failing_log_process.py --home DIR
"""

import errno
import os
import sys
import time
from pathlib import Path

from entrepot.adapters.local_disk import LocalDisk, LocalFile
from entrepot.compose import log_process

_FAULT = Path(sys.argv[sys.argv.index("--home") + 1]) / "fault"


class FailingFile(LocalFile):
    """A file whose writes and syncs do as told."""

    __slots__ = ()

    def write_at(self, offset: int, content: bytes) -> int:
        if _fault() == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write_at(offset, content)

    def sync(self) -> None:
        while (fault := _fault()) == "stall":
            time.sleep(0.005)
        if fault == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync()


class FailingDisk(LocalDisk):
    """A directory of such files."""

    def bytes_free(self) -> int:
        return 0 if _fault() == "full" else super().bytes_free()

    def _file(self, path: Path, flags: int) -> FailingFile:
        return FailingFile(path, flags)


def _fault() -> str:
    try:
        return _FAULT.read_text()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    setattr(log_process, "LocalDisk", FailingDisk)  # noqa: B010 - a name it imports, not one that it offers
    sys.exit(log_process.main())
