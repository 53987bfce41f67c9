"""What a process has drawn of limits ahead of need, and not used: requests are admitted from it without asking.

Units that lay idle from one sweep to the next are given back, and all of them, at once, when others are short.

A bucket leaks what lies idle like what is used, and others may have filled that place. So what is idle of a bucket
wears off as fast as the bucket leaks, as if nothing else were in it, and what has worn off is given back unused: units
that were drawn earlier never fill a bucket further than units that are drawn now.
"""

from entrepot.core.capacity import Limit
from entrepot.core.periods import MINUTE, SET_BACK_US, Instant
from entrepot.ports.counters import Counters, Grant, Return

_AHEAD = 4  # Times a request's units are wished for beside them, where no pace is known yet.


class Allotment:
    """Of one limit. free: units; left: what the counters have for everybody, as far as this process knows, less than
    nothing where more is used than there is. window: its length, 0 for what is none; ends: when the next one begins.

    is_known: whether they have said. held: holds that are open; lent: units taken while they could not be asked.
    is_kept: until it is forgotten.
    """

    __slots__ = (
        "_counters", "_drain", "_granted_at", "_is_bucket", "_low", "_pace", "_scarce", "_taken", "_wear", "_worn",
        "at", "ends", "free", "held", "is_kept", "is_known", "left", "lent", "limit", "spent", "taken_at", "window",
    )  # fmt: skip

    def __init__(self, limit: Limit, counters: Counters) -> None:
        self._counters = counters
        self._scarce: set[str] = counters.scarce
        self.is_kept = True
        self.at: Instant = 0
        self.window = 0
        self.ends: Instant = 0
        self.follow(limit)
        self.left = limit.units
        self.is_known = False
        self.free = self.spent = self.held = self.lent = 0
        self.taken_at: Instant = 0  # Of what is free and was drawn first.
        self._granted_at: Instant = 0
        self._low = 0  # What was free all the time since the last sweep.
        self._taken = 0  # Since the last sweep.
        self._pace = 0  # Taken from one sweep to the next, lately.
        self._worn = 0  # Of a bucket, and to be given back,
        self._wear = 0  # with what has worn off a further unit, in its 60 millionth parts.

    def follow(self, limit: Limit) -> None:
        """The limit is so from now on."""
        self.limit = limit
        self._is_bucket = limit.refill == "bucket"
        self._drain = limit.drain if self._is_bucket else 0
        window = limit.window if limit.refill == "window" else 0
        if window != self.window:
            self.window = window
            self.ends = self.at - self.at % window + window if window else 0

    def advance(self, at: Instant) -> None:
        """Time goes on: what was drawn of a window is nothing when the next one begins, and of a bucket wears off."""
        if at <= self.at:
            return
        if self._drain:
            self._wear_off(at - self.at)
        self.at = at
        if self.window and at >= self.ends:
            self.free = self.spent = self._low = self.lent = 0
            self.left = self.limit.units
            self.ends = at - at % self.window + self.window

    def take(self, units: int) -> int:
        """As many of the units as are free, which are taken."""
        got = min(units, self.free)
        self.free -= got
        self._low = min(self._low, self.free)
        self._taken += got
        return got

    def wish(self, need: int) -> int:
        """Units to draw beside those that are needed."""
        return 0 if self._is_scarce else max(_AHEAD * need, self._pace)

    def granted(self, grant: Grant, need: int) -> None:
        """Takes note of a draw, of which so many are needed at once."""
        if grant.taken_at < self._granted_at - SET_BACK_US:  # The clock of who counts was ahead, and is set right.
            self.at, self.ends = grant.taken_at - 1, 0
        self._granted_at = grant.taken_at
        self.advance(grant.taken_at)
        self._taken += need
        self.lent = 0
        if self._is_over(grant.taken_at):
            return
        self.left = grant.left
        self.is_known = True
        self._add(grant.units - need, grant.taken_at)

    def short(self, used: int) -> None:
        """Takes note of how much of it is used, drawn ahead by whomever or not."""
        self.left = self.limit.units - used
        self.is_known = True

    def lend(self, units: int, share: int) -> bool:
        """Whether units could be taken unasked, within a share (percent) of the limit: of each window, or in all."""
        if self.lent + units > self.limit.units * share // 100:
            return False
        self.lent += units
        self._counters.give((Return(self.limit, -units, 0, self.at),), self.at)
        return True

    def take_unasked(self, units: int) -> None:
        """Units are free that were taken without asking, whether they fit or not."""
        self._counters.give((Return(self.limit, -units, 0, self.at),), self.at)
        self.left -= units
        self._add(units, self.at)

    def put_back(self, units: int, taken_at: Instant) -> None:
        """Units that were taken and not used are free again."""
        if units and not self._is_over(taken_at):
            self._add(units, taken_at)
            self._taken = max(0, self._taken - units)
            if self._is_bucket or self._is_scarce:
                self._give(self.free)

    def settle(self, units: int, used: int, taken_at: Instant) -> None:
        """Of units that were taken so many were used; what was used beyond them is taken now."""
        if used > units:
            self.left -= used - units
            self._counters.give((Return(self.limit, units - used, used, taken_at),), self.at)
            return
        if not self._is_over(taken_at):
            self.spent += used
            self.put_back(units - used, taken_at)

    def sweep(self, at: Instant) -> None:
        """Gives back what lay idle since the last sweep, and tells what was spent."""
        self.advance(at)
        is_scarce = self._is_scarce
        idle = self.free if is_scarce else self._low
        if idle or self.spent or self._worn or is_scarce:
            self._give(idle)
        self._low = self.free
        self._pace = max(self._taken, self._pace // 2)
        self._taken = 0

    @property
    def is_quiet(self) -> bool:
        """Whether it may be forgotten."""
        return not (self.free or self.held or self.spent or self._pace or self.lent or self._worn)

    @property
    def _is_scarce(self) -> bool:
        """Whether others are short of it."""
        return bool(self._scarce) and self.limit.id in self._scarce

    def _is_over(self, taken_at: Instant) -> bool:
        """Whether what was taken then counts no more."""
        return self.window > 0 and not self.ends - self.window <= taken_at < self.ends

    def _add(self, units: int, taken_at: Instant) -> None:
        if not self.free:
            self._wear = MINUTE - 1  # What has begun to wear off counts as worn.
        self.taken_at = min(self.taken_at, taken_at) if self.free or self._worn else taken_at
        self.free += units
        if self._drain and taken_at < self.at:
            self._wear_off(self.at - taken_at)

    def _wear_off(self, elapsed: Instant) -> None:
        worn, self._wear = divmod(self._wear + self._drain * elapsed, MINUTE)
        worn = min(worn, self.free)
        self.free -= worn
        self._worn += worn
        self._low = min(self._low, self.free)

    def _give(self, units: int) -> None:
        spent, self.spent = self.spent, 0
        worn, self._worn = self._worn, 0
        self.free -= units
        self.left += units
        self._low = min(self._low, self.free)
        self._counters.give((Return(self.limit, units + worn, spent, self.taken_at or self.at),), self.at)


class Allotments:
    """Of one process, by limit."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self._by_id: dict[str, Allotment] = {}

    def of(self, limit: Limit, at: Instant) -> Allotment:
        """The allotment of a limit as it is now."""
        found = self._by_id.get(limit.id)
        if found is None:
            found = self._by_id[limit.id] = Allotment(limit, self.counters)
        elif found.limit is not limit:
            found.left += limit.units - found.limit.units
            found.follow(limit)
        found.advance(at)
        return found

    def sweep(self, at: Instant) -> None:
        """To be called a few times a second."""
        self.counters.tick(at)
        for allotment in list(self._by_id.values()):
            allotment.sweep(at)
            if allotment.is_quiet:
                allotment.is_kept = False
                del self._by_id[allotment.limit.id]
