"""A directory on a disk that can fail, for whoever must survive that it does.

Written bytes and changed names count only after the sync of their kind has returned. After a failed sync the fate of
what was written since the last good one is unknown for ever, whatever a later sync of the same file says.
"""

import contextlib
from typing import Protocol


class DiskFile(Protocol):
    """A file open for writing."""

    def write_at(self, offset: int, content: bytes) -> int:
        """How many bytes were written, from the first on; may be fewer than asked. Raises: OSError."""
        ...

    def sync(self) -> None:
        """Content and length are durable once this returns. Raises: OSError."""
        ...

    def truncate(self, length: int) -> None:
        """Cuts the file. Raises: OSError."""
        ...

    def close(self) -> None:
        """Lets go of the file; promises nothing about its content."""
        ...


class Disk(Protocol):
    """One directory. A name may have one folder in front ("torn/x"), which is made when needed."""

    def lock(self) -> None:
        """Makes the directory if needed and takes it for this process alone.

        Raises: UsageLogUnavailable, naming the process that has it.
        """
        ...

    def unlock(self) -> None:
        """Gives the directory back."""
        ...

    def names(self) -> list[str]:
        """The files in it, sorted, without those in folders; none when it does not exist."""
        ...

    def length(self, name: str) -> int:
        """Bytes in the file. Raises: FileNotFoundError."""
        ...

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Up to length bytes from offset on, fewer only at the file's end. Raises: FileNotFoundError."""
        ...

    def create(self, name: str) -> DiskFile:
        """A new empty file. Raises: FileExistsError, OSError."""
        ...

    def open(self, name: str) -> DiskFile:
        """An existing file with its content, or a new one. Raises: OSError."""
        ...

    def rename(self, name: str, new: str) -> None:
        """Moves a file, replacing what had the new name: readers see the old or the new. Raises: OSError."""
        ...

    def remove(self, name: str) -> None:
        """Removes a file. Raises: OSError."""
        ...

    def sync_names(self) -> None:
        """Creations, renames and removals are durable once this returns. Raises: OSError."""
        ...

    def settle(self, name: str) -> None:
        """The file is durable as read from now on: synced through a fresh descriptor, then read from the disk itself.

        A page whose write-back failed in an earlier process may still be cached as if it were on disk. Raises: OSError.
        """
        ...

    def bytes_free(self) -> int:
        """Bytes that may still be written. Raises: OSError."""
        ...


def write_all(file: DiskFile, offset: int, content: bytes) -> None:
    """Writes every byte, however many pieces the disk takes it in. Raises: OSError."""
    done = file.write_at(offset, content)
    while done < len(content):
        done += file.write_at(offset + done, content[done:])


def replace_whole(disk: Disk, begun: str, name: str, content: bytes) -> None:
    """Replaces a file, durably: a reader finds the old or the new one. begun: its name until then. Raises: OSError."""
    with contextlib.suppress(FileNotFoundError):  # Left by who was killed meanwhile.
        disk.remove(begun)
    file = disk.create(begun)
    try:
        write_all(file, 0, content)
        file.sync()
    finally:
        file.close()
    disk.rename(begun, name)
    disk.sync_names()
