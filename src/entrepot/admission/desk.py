"""Whether a request may be served now: what it needs of its limits is taken, all of it or nothing."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from entrepot.admission.allotments import Allotment, Allotments
from entrepot.admission.counts import Counts
from entrepot.admission.holds import Hold, Need
from entrepot.admission.measures import MetLimit, expected
from entrepot.core.capacity import Limit, Standing
from entrepot.core.estimate import Estimate
from entrepot.core.periods import Instant
from entrepot.ports.counters import Counters, Draw, Grant, Shortage


class Short(NamedTuple):
    """Why a request is not admitted now: which of its needs does not fit, and the counter. shortage: None when the
    counters cannot be asked, or it can never fit.
    """

    need: Need
    shortage: Shortage | None
    never: bool = False


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

    def needs(self, limits: tuple[MetLimit, ...], estimate: Estimate, tier: str, at: Instant) -> list[Need]:
        """What a request needs of the limits that count it now."""
        is_batch = tier == "batch"
        return [
            Need(met, expected(met, estimate))
            for met in limits
            if met.begins <= at < met.ends and (met.counts_batches or not is_batch)
        ]

    def hold(self, needs: list[Need], at: Instant) -> Hold | None:
        """The hold of a request that what this process has drawn already suffices for."""
        for need in needs:
            if self._of(need.met, at).free < need.units:
                return None
        for need in needs:
            need.take(self._of(need.met, at))
        self.counts.held(needs)
        return Hold(needs)

    def never(self, needs: list[Need]) -> Short | None:
        """Why a request can never be admitted, if it is larger than a limit."""
        for need in needs:
            if need.units > need.met.units and not need.met.is_bucket:
                return Short(need, None, never=True)
        return None

    def draw(self, needs: list[Need], at: Instant, done: Callable[[Hold | Short], None]) -> None:
        """Asks the counters for what is missing, and a little more; then calls done, at once or soon."""
        never = self.never(needs)
        if never is not None:
            done(never)
            return
        draws = []
        for need in needs:
            need.take(self._of(need.met, at))
            need.allotment.held += 1  # So that it is not forgotten.
            if need.missing:
                draws.append(Draw(need.limit, need.missing, need.allotment.wish(need.units)))
        if draws:
            self._counters.draw(draws, at, partial(self._drawn, needs, at, done))
        else:
            self._drawn(needs, at, done, ())

    def standings(self, needs: list[Need], at: Instant) -> list[Standing]:
        """How the windows and buckets that a request counts in stand now, as far as this process knows."""
        found: list[Standing] = []
        for need in needs:
            met = need.met
            allotment = self._of(met, at)
            if allotment.is_known and (allotment.window or met.is_bucket):
                remains = allotment.left + allotment.free
                resets_in = allotment.ends - allotment.at if allotment.window else 0
                found.append((met.measure, met.units, max(0, remains), resets_in))
        return found

    def spend(self, needs: list[Need], meters: dict[str, int], tier: str, at: Instant) -> None:
        """Takes what was used without being held, whether it fits or not. It is not another request."""
        for need in needs:
            units = 0 if need.met.is_budget or need.met.counts_requests else need.used_up(meters, tier)
            if units:
                self._of(need.met, at).settle(0, units, at)

    def take(self, met: MetLimit, units: int, at: Instant) -> Need:
        """The need of a limit that refuses nobody: its units are taken, for the hold that is made next."""
        self._of(met, at).take_unasked(units)
        return Need(met, units)

    def read(
        self, limits: Sequence[Limit], at: Instant, done: Callable[[tuple[Grant, ...] | Shortage | None], None]
    ) -> None:
        """Asks how much is left of limits, and takes nothing."""
        self._counters.draw([Draw(limit, 0) for limit in limits], at, done)

    def sweep(self, at: Instant) -> None:
        """To be called a few times a second."""
        self._allotments.sweep(at)

    def _of(self, met: MetLimit, at: Instant) -> Allotment:
        """What is drawn of a limit, as it is now."""
        allotment = met.allotment
        if allotment is None or allotment.limit is not met.limit or not allotment.is_kept:
            allotment = met.allotment = self._allotments.of(met.limit, at)
        else:
            allotment.advance(at)
        return allotment

    def _drawn(
        self,
        needs: list[Need],
        at: Instant,
        done: Callable[[Hold | Short], None],
        result: tuple[Grant, ...] | Shortage | None,
    ) -> None:
        asked = [need for need in needs if need.missing]
        for need in needs:
            need.allotment.held -= 1
        short = None
        if isinstance(result, Shortage):
            need = asked[result.draw]
            need.allotment.short(result.used)
            idle = need.allotment.free + need.taken  # What nobody holds, and nobody else could draw.
            short = Short(need, result._replace(used=result.used - idle))
            self.counts.draws["short"] += 1
        elif result is None:
            short = self._borrow(asked, at)
            self.counts.draws["lost"] += 1
        else:
            self.counts.granted([need.limit for need in asked], result)
            for need, grant in zip(asked, result, strict=True):
                missing = need.missing
                need.allotment.granted(grant, missing)
                need.add(missing, grant.taken_at)
        if short is None:
            self.counts.held(needs)
            done(Hold(needs))
            return
        for need in needs:
            need.allotment.advance(at)
            need.put_back()
        # What other requests of this process drew ahead meanwhile may do.
        done(self.hold(needs, at) or short)

    def _borrow(self, asked: list[Need], at: Instant) -> Short | None:
        """Takes what is missing without asking; which need it does not do for, within the share there is for that."""
        for need in asked:
            missing = need.missing
            if not need.allotment.lend(missing, self._lost_share):
                return Short(need, None)
            need.add(missing, at)
        return None


def _nothing(_: str) -> int:
    return 0
