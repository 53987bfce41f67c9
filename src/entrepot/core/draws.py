"""What is said between a gateway and the counters it draws from, wherever those are kept."""

from typing import NamedTuple

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

    left: what remains for everybody, less than nothing of a bucket that is overfull. taken_at: to be said when units
    are given back.
    """

    units: int
    left: int
    taken_at: Instant


class Shortage(NamedTuple):
    """Why nothing was taken. draw: the number of the draw that does not fit, from 0. used: of its limit, held or spent.

    wait_us: until it would fit, None for never. idle: units of it that other gateways have and may not need; they have
    been asked to give those back, so trying once more soon may succeed.
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
