"""Making the data directory and what lies in it, for its owner only: it holds what customers send, use and pay.

Also what a place or the memory of the machine does to a process, as a line.
"""

import contextlib
import errno
import os
from pathlib import Path
from typing import TextIO

from entrepot.compose.settings import Settings
from entrepot.core.errors import BadInput

_PLACES_FAULTS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


def make_home(settings: Settings, *files: Path) -> None:
    """Makes the data directory, and empty files in it, where they are not there yet. Raises: BadInput."""
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in files:
            # Exclusively: a database must not be opened and closed beside itself, which would end its locks.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise _unusable(settings, error) from None


def open_lock(settings: Settings, name: str) -> TextIO:
    """The file of a lock. Raises: BadInput."""
    make_home(settings)
    try:
        settings.run_directory.mkdir(mode=0o700, exist_ok=True)
        return (settings.run_directory / f"{name}.lock").open("a+")
    except OSError as error:
        raise _unusable(settings, error) from None


def outer_fault(error: Exception) -> str:
    """What the machine does to whoever works on it, in a line; "" for what may be a mistake of ours."""
    if _lacks_memory(error):
        return "not enough memory; end other programs, or raise this one's limit (ulimit -v; its unit's or container's)"
    if isinstance(error, OSError) and error.errno in _PLACES_FAULTS:
        return f"{error.filename or 'the disk'}: {error.strerror}"
    return ""


def _lacks_memory(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # A library that cannot be loaded for lack of memory says so in words alone.
    return isinstance(error, MemoryError) or "failed to map segment" in str(error)


def _unusable(settings: Settings, error: OSError) -> BadInput:
    return BadInput(
        f"the data directory {settings.home} (from {settings.sources['home']}) cannot be written: {error.strerror}; "
        "make it writable, or set ENTREPOT_HOME to another place",
        param="home",
    )
