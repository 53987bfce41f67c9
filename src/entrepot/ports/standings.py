"""What the books know of budgets, for processes that have no books."""

from collections.abc import Sequence
from typing import Protocol

from entrepot.core.budgets import Standings


class PublishedStandings(Protocol):
    """The place where the worker leaves what the books know of budgets."""

    def publish(self, standings: Standings) -> None:
        """Says what all budgets stand at. Raises: OSError where it cannot be kept; what was said before stays."""
        ...

    def load(self) -> Standings | None:
        """What was published last, whole; None before the first, and of what cannot be read."""
        ...

    def load_new(self) -> Sequence[Standings]:
        """What was published since the last call, in order: all of it at first, then what has changed; a part of it
        where that is much.
        """
        ...
