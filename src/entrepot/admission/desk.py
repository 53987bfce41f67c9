"""Whether a request may be served now: what it needs of its limits is taken, all of it or nothing."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from entrepot.admission.allotments import Allotment, Allotments
from entrepot.admission.counts import Counts
from entrepot.admission.holds import Hold, Need, Part
from entrepot.admission.measures import expected, used_up
from entrepot.core.capacity import Estimate, Limit, ServedLimit, Standing, Used
from entrepot.core.periods import Instant
from entrepot.ports.counters import Counters, Draw, Grant, Shortage


class Short(NamedTuple):
    """Why a request is not admitted now: which of its needs does not fit, and the counter. shortage: None when the
    counters cannot be asked, or it can never fit.
    """

    need: Need
    shortage: Shortage | None
    never: bool = False


class _Share:
    """What is taken for a request so far, of one limit, and since when."""

    __slots__ = ("allotment", "got", "need", "taken_at")

    def __init__(self, need: Need, allotment: Allotment) -> None:
        self.need = need
        self.allotment = allotment
        self.taken_at = allotment.taken_at
        self.got = allotment.take(need.units)

    @property
    def missing(self) -> int:
        """What its counter is asked for."""
        return self.need.units - self.got

    def add(self, units: int, taken_at: Instant) -> None:
        """More is taken."""
        self.taken_at = min(self.taken_at, taken_at) if self.got else taken_at
        self.got += units


class Desk:
    """Of one gateway process. lost_share: of a limit, in percent, what may be used without asking while its counters
    cannot be asked; 0 to refuse. counts: what it has done. spent: of the budget of a counter, as far as the books know.
    """

    def __init__(self, counters: Counters, lost_share: int = 0, spent: Callable[[str], int] | None = None) -> None:
        self.spent = spent or _nothing
        self._allotments = Allotments(counters)
        self._counters = counters
        self._lost_share = lost_share
        self.counts = Counts()

    def needs(self, limits: Sequence[ServedLimit], estimate: Estimate, tier: str, at: Instant) -> list[Need]:
        """What a request needs of the limits that count it now."""
        return [
            Need(served, expected(served, estimate))
            for served in limits
            if (tier != "batch" or served.counts_batches) and served.begins <= at < served.ends
        ]

    def hold(self, needs: Sequence[Need], at: Instant) -> Hold | None:
        """The hold of a request that what this process has drawn already suffices for."""
        parts = []
        for need in needs:
            allotment = self._allotments.of(need.limit, at)
            if allotment.free < need.units:
                return None
            parts.append(Part(need, allotment, need.units, allotment.taken_at))
        for part in parts:
            part.allotment.take(part.units)
        self.counts.held(parts)
        return Hold(parts)

    def never(self, needs: Sequence[Need]) -> Short | None:
        """Why a request can never be admitted, if it is larger than a limit."""
        for need in needs:
            if need.units > need.limit.units and need.limit.refill != "bucket":
                return Short(need, None, never=True)
        return None

    def draw(self, needs: Sequence[Need], at: Instant, done: Callable[[Hold | Short], None]) -> None:
        """Asks the counters for what is missing, and a little more; then calls done, at once or soon."""
        never = self.never(needs)
        if never is not None:
            done(never)
            return
        shares = [_Share(need, self._allotments.of(need.limit, at)) for need in needs]
        draws = []
        for share in shares:
            share.allotment.held += 1  # So that it is not forgotten.
            if share.missing:
                draws.append(Draw(share.need.limit, share.missing, share.allotment.wish(share.need.units)))
        if draws:
            self._counters.draw(draws, at, partial(self._drawn, shares, at, done))
        else:
            self._drawn(shares, at, done, ())

    def standings(self, needs: Sequence[Need], at: Instant) -> list[Standing]:
        """How the windows and buckets that a request counts in stand now, as far as this process knows."""
        found: list[Standing] = []
        for need in needs:
            allotment = self._allotments.of(need.limit, at)
            if allotment.is_known and (allotment.window or need.limit.refill == "bucket"):
                resets_in = allotment.ends - allotment.at if allotment.window else 0
                found.append((need.measure, need.limit.units, max(0, allotment.left + allotment.free), resets_in))
        return found

    def spend(self, needs: Sequence[Need], used: Used, at: Instant) -> None:
        """Takes what was used without being held, whether it fits or not. It is not another request."""
        for need in needs:
            units = 0 if need.is_budget or need.measure == "requests" else used_up(need.served, used)
            if units:
                self._allotments.of(need.limit, at).settle(0, units, at)

    def take(self, served: ServedLimit, units: int, at: Instant) -> Need:
        """The need of a limit that refuses nobody: its units are taken, for the hold that is made next."""
        self._allotments.of(served.limit, at).take_unasked(units)
        return Need(served, units)

    def read(
        self, limits: Sequence[Limit], at: Instant, done: Callable[[tuple[Grant, ...] | Shortage | None], None]
    ) -> None:
        """Asks how much is left of limits, and takes nothing."""
        self._counters.draw([Draw(limit, 0) for limit in limits], at, done)

    def sweep(self, at: Instant) -> None:
        """To be called a few times a second."""
        self._allotments.sweep(at)

    def _drawn(
        self,
        shares: Sequence[_Share],
        at: Instant,
        done: Callable[[Hold | Short], None],
        result: tuple[Grant, ...] | Shortage | None,
    ) -> None:
        asked = [share for share in shares if share.missing]
        for share in shares:
            share.allotment.held -= 1
        short = None
        if isinstance(result, Shortage):
            share = asked[result.draw]
            share.allotment.short(result.used)
            idle = share.allotment.free + share.got  # What nobody holds, and nobody else could draw.
            short = Short(share.need, result._replace(used=result.used - idle))
            self.counts.draws["short"] += 1
        elif result is None:
            short = self._borrow(asked, at)
            self.counts.draws["lost"] += 1
        else:
            self.counts.granted([share.allotment.limit for share in asked], result)
            for share, grant in zip(asked, result, strict=True):
                share.allotment.granted(grant, share.missing)
                share.add(share.missing, grant.taken_at)
        if short is None:
            parts = [Part(share.need, share.allotment, share.got, share.taken_at) for share in shares]
            self.counts.held(parts)
            done(Hold(parts))
            return
        for share in shares:
            share.allotment.advance(at)
            share.allotment.put_back(share.got, share.taken_at)
        # What other requests of this process drew ahead meanwhile may do.
        done(self.hold([share.need for share in shares], at) or short)

    def _borrow(self, asked: Sequence[_Share], at: Instant) -> Short | None:
        """Takes what is missing without asking; which need it does not do for, within the share there is for that."""
        for share in asked:
            if not share.allotment.lend(share.missing, self._lost_share):
                return Short(share.need, None)
            share.add(share.missing, at)
        return None


def _nothing(_: str) -> int:
    return 0
