"""Where counters are kept that several gateways draw from, ahead of need, so that most requests need not ask."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from entrepot.core.capacity import Limit
from entrepot.core.periods import Instant


class Draw(NamedTuple):
    """Units asked for. need: what a request cannot do without. wish: what would be kept for the next ones beside it;
    the store gives less of it, or nothing, when little is left.
    """

    limit: Limit
    need: int
    wish: int = 0


class Grant(NamedTuple):
    """Units that were taken for the gateway: what it needed, and what it got of its wish.

    left: what remains for everybody. taken_at: to be said when units are given back.
    """

    units: int
    left: int
    taken_at: Instant


class Shortage(NamedTuple):
    """Why nothing was taken. draw: the number of the draw that does not fit, from 0. used: of its limit, held or spent.

    wait_us: until it would fit, None for never. idle: units of it that gateways have drawn ahead and not used yet; they
    have been asked to give them back, so trying once more soon may succeed.
    """

    draw: int
    used: int
    wait_us: int | None
    idle: int = 0


class Return(NamedTuple):
    """What became of units that were drawn. free: not used, and free again; negative for what was used beyond what was
    drawn, which is taken now, whether it fits or not. spent: used for good. Of units that are settled, both together
    are what was drawn. Neither, of a limit that is scarce: nothing of it is idle here.
    """

    limit: Limit
    free: int
    spent: int
    taken_at: Instant


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
    def scarce(self) -> frozenset[str]:
        """Ids of limits of which nothing should be kept idle, since others are short of them."""
        ...

    def tick(self, at: Instant) -> None:
        """To be called a few times a second."""
        ...
