"""What the processes of one machine have counted, put where each of them can read it."""

from collections.abc import Iterable
from typing import Protocol

from entrepot.core.metrics import Report


class MetricsBoard(Protocol):
    """The place of one process among the others."""

    def publish(self, report: Report) -> None:
        """Replaces what this process has said before. Raises: OSError."""
        ...

    def gather(self) -> Iterable[Report]:
        """What the living said last, this process too, and what lasts of those that are gone. Raises: OSError."""
        ...
