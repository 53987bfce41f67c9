"""What a gateway has written and the log has not acknowledged, in a mapped file: it outlives a killed gateway.

Between a gateway and the disk a record lies in buffers of two processes, and either may be killed. So each gateway
keeps its unacknowledged frames in a mapped file as well, at the price of copying them once: that memory is the
kernel's, not the process's. When a gateway is gone, the log process takes its frames in before it declares the
instance lost. A lock on the file says that the gateway lives. (A power cut may lose the file, and with it requests
that no client saw the end of; what the log acknowledged is safe from that, too.)

The file: as core.kept_memory.
"""

import contextlib
import fcntl
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

from entrepot.core.kept_memory import Kept

KEPT_BYTES = 4 * 2**20

_BOUNDS = struct.Struct("<Q")
_SUFFIX = ".kept"


class KeptFrames:
    """The keeping gateway's side. Meets the port KeepsFrames. The file stays until the log process removes it.

    add, drop: of core.kept_memory.
    """

    def __init__(self, directory: Path, instance: str, size: int = KEPT_BYTES) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(_path(directory, instance), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.posix_fallocate(self._descriptor, 0, size)  # A full disk is met here, not at some later copy.
        self._memory = mmap.mmap(self._descriptor, size)
        kept = Kept(self._memory)
        self.add: Callable[[bytes], bool] = kept.add
        self.drop: Callable[[int], None] = kept.drop

    def close(self) -> None:
        """Lets go of the file, as the end of the process would."""
        self._memory.close()
        os.close(self._descriptor)


class LeftFrames:
    """The log process's side. Meets the port LeftBehind."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def instances(self) -> list[str]:
        """The instances, living or gone, that have a file."""
        return sorted(path.stem for path in self._directory.glob(f"*{_SUFFIX}"))

    def take(self, instance: str) -> bytes | None:
        """The frames a gateway that is gone left behind; None while it lives."""
        try:
            descriptor = os.open(_path(self._directory, instance), os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            content = _read(descriptor)
        except BlockingIOError:
            return None
        finally:
            os.close(descriptor)
        if len(content) < _BOUNDS.size:
            return b""  # It was killed while it made the file, before it wrote anything.
        bounds = _BOUNDS.unpack_from(content)[0]
        return content[bounds >> 32 : bounds & 0xFFFFFFFF]

    def remove(self, instance: str) -> None:
        """Forgets what is durable now."""
        with contextlib.suppress(FileNotFoundError):
            _path(self._directory, instance).unlink()


def _path(directory: Path, instance: str) -> Path:
    return directory / f"{instance}{_SUFFIX}"


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
