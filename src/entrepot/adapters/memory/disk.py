"""A disk in memory that fails as real ones do: short writes, no room, failed syncs, a power cut.

Each file has what programs see and what would survive a power cut. A write changes the first; a sync brings the second
up to it. A failed sync leaves any part of the unsynced pages on the disk and the rest nowhere, while programs still see
them and later syncs say all is well, as Linux has it. A power cut keeps any of the unsynced sectors and drops the rest.
"""

import errno
import os
from collections.abc import Callable
from random import Random
from typing import Literal

from entrepot.core.errors import UsageLogUnavailable

SECTOR_BYTES = 512
PAGE_BYTES = 4096

# "short": part is written and said so. "broken": part may be written, then EIO. None: nothing goes wrong.
Fault = Literal["short", "broken"] | None
Act = Literal["write", "sync", "truncate", "create", "rename", "remove", "sync_names"]


def no_fault(_act: Act, _name: str) -> Fault:
    """A good day."""
    return None


class _Content:
    """One file's bytes: as seen, as on the disk, and the writes and cuts between the two."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.kept = bytearray()
        self.unsynced: list[tuple[int, bytes | None]] = []

    def write(self, offset: int, content: bytes) -> None:
        _put(self.seen, offset, content)
        self.unsynced.append((offset, content))

    def truncate(self, length: int) -> None:
        del self.seen[length:]
        self.unsynced.append((length, None))

    def sync(self) -> None:
        for offset, content in self.unsynced:
            _apply(self.kept, offset, content)
        self.unsynced.clear()

    def lose(self, chance: Random, piece_bytes: int) -> None:
        """Brings some pieces of what is unsynced to the disk and forgets the rest."""
        odds = chance.choice((0.0, 0.5, 0.9, 1.0))
        for offset, content in self.unsynced:
            if content is None:
                if chance.random() < odds:
                    _apply(self.kept, offset, None)
                continue
            at = 0
            while at < len(content):
                end = min(len(content), at + piece_bytes - (offset + at) % piece_bytes)
                if chance.random() < odds:
                    _put(self.kept, offset + at, content[at:end])
                at = end
        self.unsynced.clear()


class MemoryFile:
    """A file of a MemoryDisk, open for writing."""

    def __init__(self, disk: "MemoryDisk", content: _Content) -> None:
        self._disk = disk
        self._content = content

    def write_at(self, offset: int, content: bytes) -> int:
        fault = self._disk.fault("write", self._disk.name_of(self._content))
        room = self._disk.bytes_free() - max(0, offset - len(self._content.seen))
        fits = max(0, min(len(content), room + max(0, len(self._content.seen) - offset)))
        if fault is not None:
            fits = self._disk.chance.randrange(fits + 1) if fault == "broken" else max(1, fits // 2)
        if fits:
            self._content.write(offset, content[:fits])
        if fault == "broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if not fits and content:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fits

    def sync(self) -> None:
        if self._disk.fault("sync", self._disk.name_of(self._content)):
            self._content.lose(self._disk.chance, PAGE_BYTES)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._content.sync()

    def truncate(self, length: int) -> None:
        self._disk.fail_at("truncate", self._disk.name_of(self._content))
        self._content.truncate(length)

    def close(self) -> None:
        """Nothing."""


class MemoryDisk:
    """A directory in memory. fault: asked before every act what shall go wrong with it."""

    def __init__(self, chance: Random, capacity_bytes: int = 2**40) -> None:
        self.chance = chance
        self.capacity_bytes = capacity_bytes
        self.fault: Callable[[Act, str], Fault] = no_fault
        self._files: dict[str, _Content] = {}
        self._names_kept: list[dict[str, _Content]] = [{}]
        self._locked = False

    def crash(self) -> None:
        """The process is gone; what it wrote is still seen."""
        self._locked = False

    def cut_power(self) -> None:
        """The machine is gone; only what was synced is sure to be seen again."""
        self._locked = False
        self._files = dict(self.chance.choice(self._names_kept))
        self._names_kept = [dict(self._files)]
        for content in self._files.values():
            content.lose(self.chance, SECTOR_BYTES)
            if self.chance.random() < 0.3:  # The length was brought to the disk, the last bytes were not.
                content.kept.extend(bytes(max(0, len(content.seen) - len(content.kept))))
            content.seen = bytearray(content.kept)

    def fail_at(self, act: Act, name: str) -> None:
        """Raises OSError when this act shall go wrong."""
        if self.fault(act, name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def name_of(self, content: _Content) -> str:
        """The name a file has now, or "" when it was removed."""
        return next((name for name, held in self._files.items() if held is content), "")

    def lock(self) -> None:
        if self._locked:
            raise UsageLogUnavailable("this disk is being written by somebody else; stop them first", retry_after_s=1)
        self._locked = True

    def unlock(self) -> None:
        self._locked = False

    def names(self) -> list[str]:
        return sorted(name for name in self._files if "/" not in name)

    def length(self, name: str) -> int:
        return len(self._content(name).seen)

    def read(self, name: str, offset: int, length: int) -> bytes:
        return bytes(self._content(name).seen[offset : offset + length])

    def create(self, name: str) -> MemoryFile:
        self.fail_at("create", name)
        if name in self._files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self._files[name] = _Content()
        self._names_changed()
        return MemoryFile(self, self._files[name])

    def open(self, name: str) -> MemoryFile:
        if name not in self._files:
            return self.create(name)
        return MemoryFile(self, self._files[name])

    def rename(self, name: str, new: str) -> None:
        self.fail_at("rename", name)
        self._files[new] = self._content(name)
        del self._files[name]
        self._names_changed()

    def remove(self, name: str) -> None:
        self.fail_at("remove", name)
        self._content(name)
        del self._files[name]
        self._names_changed()

    def sync_names(self) -> None:
        self.fail_at("sync_names", "")
        self._names_kept = [dict(self._files)]

    def settle(self, name: str) -> None:
        content = self._content(name)
        MemoryFile(self, content).sync()
        content.seen = bytearray(content.kept)

    def bytes_free(self) -> int:
        return max(0, self.capacity_bytes - sum(len(content.seen) for content in self._files.values()))

    def damage(self, name: str, offset: int) -> None:
        """Flips a byte of a file, on the disk and as seen."""
        content = self._content(name)
        for held in (content.seen, content.kept):
            held[offset] ^= 0xFF

    def _content(self, name: str) -> _Content:
        if name not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._files[name]

    def _names_changed(self) -> None:
        self._names_kept.append(dict(self._files))


def _put(held: bytearray, offset: int, content: bytes) -> None:
    if offset > len(held):
        held.extend(bytes(offset - len(held)))
    held[offset : offset + len(content)] = content


def _apply(held: bytearray, offset: int, content: bytes | None) -> None:
    if content is None:
        del held[offset:]
    else:
        _put(held, offset, content)
