"""Where counters are kept that several gateways draw from, ahead of need, so that most requests need not ask."""

from collections.abc import Callable, Sequence
from typing import Protocol

from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.periods import Instant

__all__ = ["Counters", "Draw", "Grant", "Return", "Shortage"]


class Counters(Protocol):
    """Counters by limit id, for a gateway's event loop, which never waits for them long."""

    def draw(
        self, draws: Sequence[Draw], at: Instant, done: Callable[[tuple[Grant, ...] | Shortage | None], None]
    ) -> None:
        """Takes all of the draws or none; then calls done, at once or soon. None: the counters cannot be asked now.

        Who draws of a limit has nothing idle of it.
        """
        ...

    def give(self, returns: Sequence[Return], at: Instant) -> None:
        """Takes note of what became of drawn units; nothing is reported back, and it is made up for when that is
        not possible now.
        """
        ...

    @property
    def scarce(self) -> set[str]:
        """Ids of limits of which nothing should be kept idle, since others are short of them: always the same set, as
        it is now.
        """
        ...

    def tick(self, at: Instant) -> None:
        """To be called a few times a second."""
        ...
