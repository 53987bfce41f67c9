"""What the books know of budgets, for processes that have no books."""

from typing import Protocol

from entrepot.core.budgets import Standings


class PublishedStandings(Protocol):
    """The place where the worker leaves what the books know of budgets."""

    def publish(self, standings: Standings) -> None:
        """Replaces what was there, whole."""
        ...

    def load(self) -> Standings | None:
        """What was published last; None before the first, and of what cannot be read."""
        ...

    def load_new(self) -> Standings | None:
        """The same, or None where it is what the last call gave already."""
        ...
