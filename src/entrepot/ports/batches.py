"""What is told to operators, in batches, beside the event loop."""

from typing import Protocol


class BatchSink(Protocol):
    """Where batches go. Never waits: what cannot be taken is dropped and counted."""

    @property
    def taken(self) -> int:
        """How many items have arrived where they were to go."""
        ...

    @property
    def dropped(self) -> int:
        """How many have not: whoever takes them was too slow, or could not be reached or written to."""
        ...

    def offer(self, batch: bytes, items: int) -> None:
        """Takes a batch to be handed on soon, in this order."""
        ...
