"""What each process of this machine has counted, in a file each, so that any of them can tell for all.

A process replaces its file whole. A lock says that it lives: what is left of one that is gone still counts, so that no
counter ever falls; the next process to start adds it to one file of all that have ended.
"""

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

from entrepot.core.metrics import Report, lasting, together

_SUFFIX = ".metrics"
_LOCK = ".lock"
_ATTEMPTS_MAX = 10


class _Ended(msgspec.Struct, frozen=True):
    """What processes that are gone have counted. names: those of them whose files may still be there."""

    names: tuple[str, ...] = ()
    report: Report = ()


_reports = msgspec.msgpack.Decoder(Report)
_ended = msgspec.msgpack.Decoder(_Ended)
_encode = msgspec.msgpack.Encoder().encode


class MetricFiles:
    """One process's place. Meets the port MetricsBoard. name: no other process's, dead or alive."""

    def __init__(self, directory: Path, name: str) -> None:
        """Raises: OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._file = directory / f"{name}{_SUFFIX}"
        self._descriptor = os.open(self._file.with_suffix(_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._take_in_ended()

    def publish(self, report: Report) -> None:
        """Replaces what this process has said before. Raises: OSError."""
        _replace(self._file, _encode(report))

    def gather(self) -> list[Report]:
        """Everybody's last words, of those that are gone only what lasts. Raises: OSError."""
        for _ in range(_ATTEMPTS_MAX):
            before = _identity(self._ended_file)
            with contextlib.suppress(FileNotFoundError):  # Taken in just now: look again.
                ended = self._read_ended()
                told = [self._told(path) for path in self._files() if path.stem not in ended.names]
                if _identity(self._ended_file) == before:
                    return [*told, ended.report]
        raise OSError(f"{self._directory}: processes end faster than their counts can be read")

    def close(self) -> None:
        """Lets go of the place, as the end of the process would."""
        os.close(self._descriptor)

    @property
    def _ended_file(self) -> Path:
        return self._directory / "ended"

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob(f"*{_SUFFIX}"))

    def _told(self, path: Path) -> Report:
        report = _read(path)
        return report if path == self._file or _lives(path) else lasting(report)

    def _read_ended(self) -> _Ended:
        try:
            return _ended.decode(self._ended_file.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return _Ended()

    def _take_in_ended(self) -> None:
        """Adds up what is left of processes that are gone. Only one does so at a time."""
        with (self._directory / "ended.taking").open("w") as taking:
            fcntl.flock(taking, fcntl.LOCK_EX)
            gone = [path for path in self._files() if path != self._file and not _lives(path)]
            if not gone:
                return
            ended = self._read_ended()
            new = [lasting(_read(path)) for path in gone if path.stem not in ended.names]
            names = tuple(path.stem for path in gone)
            _replace(self._ended_file, _encode(_Ended(names, tuple(together([ended.report, *new])))))
            for path in gone:
                path.unlink()
                path.with_suffix(_LOCK).unlink(missing_ok=True)


def _read(path: Path) -> Report:
    """What a process said last; nothing, where a power cut or another version left what cannot be read."""
    try:
        return _reports.decode(path.read_bytes())
    except msgspec.DecodeError:
        return ()


def _lives(path: Path) -> bool:
    """Whether the process of the file still holds its lock."""
    try:
        with path.with_suffix(_LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return status.st_ino, status.st_mtime_ns


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
