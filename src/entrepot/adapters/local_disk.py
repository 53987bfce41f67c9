"""A directory of this machine, as the Disk port."""

import errno
import fcntl
import os
from pathlib import Path

from entrepot.core.errors import UsageLogUnavailable

_LOCK = "lock"


class LocalFile:
    """A file open for writing."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: Path, flags: int) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)

    def write_at(self, offset: int, content: bytes) -> int:
        return os.pwrite(self._descriptor, content, offset)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, length: int) -> None:
        os.ftruncate(self._descriptor, length)

    def close(self) -> None:
        os.close(self._descriptor)


class LocalDisk:
    """The files of one directory. The lock is an flock, so it ends with its process, however that ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: int | None = None

    def lock(self) -> None:
        self._make(self._directory)
        descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            raise UsageLogUnavailable(
                f"{self._directory} is being written by process {holder}; use its socket, or stop that process first",
                retry_after_s=1,
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def names(self) -> list[str]:
        try:
            with os.scandir(self._directory) as entries:
                return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def length(self, name: str) -> int:
        return (self._directory / name).stat().st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def create(self, name: str) -> LocalFile:
        path = self._directory / name
        self._make(path.parent)
        return self._file(path, os.O_EXCL)

    def open(self, name: str) -> LocalFile:
        path = self._directory / name
        self._make(path.parent)
        return self._file(path, 0)

    def rename(self, name: str, new: str) -> None:
        (self._directory / name).replace(self._directory / new)

    def remove(self, name: str) -> None:
        (self._directory / name).unlink()

    def sync_names(self) -> None:
        _sync_directory(self._directory)

    def settle(self, name: str) -> None:
        descriptor = os.open(self._directory / name, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

    def bytes_free(self) -> int:
        figures = os.statvfs(self._directory)
        return figures.f_bavail * figures.f_frsize

    def _file(self, path: Path, flags: int) -> LocalFile:
        return LocalFile(path, flags)

    def _make(self, directory: Path) -> None:
        """Makes a directory and what leads to it, each entry durable."""
        if not directory.is_dir():
            self._make(directory.parent)
            directory.mkdir(mode=0o700, exist_ok=True)
            _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
