"""Lines of text for operators, written beside the event loop."""

from typing import Protocol


class LineSink(Protocol):
    """Where lines go. Never waits: what cannot be taken is dropped and counted."""

    @property
    def written(self) -> int:
        """How many lines have been written."""
        ...

    @property
    def dropped(self) -> int:
        """How many were not, because the disk or the reader of a pipe was too slow, or could not be written to."""
        ...

    def offer(self, lines: bytes, count: int) -> None:
        """Takes whole lines to be written soon, in this order."""
        ...
