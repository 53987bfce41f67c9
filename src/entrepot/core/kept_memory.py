"""Frames kept in memory that outlives the process; kept_memory.c, compiled beside it, is imported in its place."""

import struct
from mmap import mmap

_BOUNDS = struct.Struct("<Q")


class Kept:
    """Frames in memory that others read when this process is gone: u64 start << 32 | end, then the frames in between.

    The start and the end are written last and in one piece.
    """

    def __init__(self, memory: mmap | bytearray) -> None:
        """Keeps nothing yet. Raises: ValueError where there is no room for the bounds."""
        if len(memory) < _BOUNDS.size:
            raise ValueError("there is no room for the bounds")
        self._memory = memory
        self._start = self._end = _BOUNDS.size
        self._write_bounds()

    def add(self, frame: bytes) -> bool:
        """Whether the frame is kept; not when there is no room."""
        if self._end + len(frame) > len(self._memory) and not self._make_room(len(frame)):
            return False
        end = self._end + len(frame)
        self._memory[self._end : end] = frame
        self._end = end
        self._write_bounds()
        return True

    def drop(self, size: int) -> None:
        """Lets go of the oldest bytes. Raises: ValueError when there are not as many."""
        if not 0 <= size <= self._end - self._start:
            raise ValueError("there is not as much")
        self._start += size
        if self._start == self._end:
            self._start = self._end = _BOUNDS.size
        self._write_bounds()

    def _make_room(self, size: int) -> bool:
        """Moves what is kept to the front, where it must not overlap where it was: whether there is room then."""
        live = self._end - self._start
        if _BOUNDS.size + live > self._start or _BOUNDS.size + live + size > len(self._memory):
            return False
        self._memory[_BOUNDS.size : _BOUNDS.size + live] = self._memory[self._start : self._end]
        self._start, self._end = _BOUNDS.size, _BOUNDS.size + live
        self._write_bounds()
        return True

    def _write_bounds(self) -> None:
        _BOUNDS.pack_into(self._memory, 0, self._start << 32 | self._end)
