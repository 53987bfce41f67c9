"""Unix sockets at any path: a socket's address holds 108 bytes on Linux, its final zero included, and 104 on macOS."""

import functools
import os
from pathlib import Path

_BYTES_MAX = 100
_OPEN_FILES = Path("/proc/self/fd")


def short_path(path: Path) -> Path:
    """Another path of the same place, for this process alone, where the path is too long for a socket to bind or reach.

    It leads through a descriptor of the directory, which stays open. Where the system has none of these (it has no
    /proc) it is the path as it is. Raises: OSError when the directory is not there.
    """
    if len(os.fsencode(path)) <= _BYTES_MAX or not _OPEN_FILES.exists():
        return path
    return _OPEN_FILES / str(_descriptor(path.parent)) / path.name


@functools.cache
def _descriptor(directory: Path) -> int:
    return os.open(directory, os.O_PATH | os.O_DIRECTORY)
