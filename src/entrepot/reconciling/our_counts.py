"""What we counted at a partner's upstreams, by day of its zone, with what was on its way at each midnight."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from entrepot.core.log_records import AttemptEnded
from entrepot.core.periods import Instant
from entrepot.core.usage_event import UsageEvent
from entrepot.reconciling.steps import Midnight

# Partners do not tell reasoning apart from other output.
_COMPARED_AS = {f"{medium}reasoning_tokens": f"{medium}output_tokens" for medium in ("", "audio_", "image_")}


class Cell(NamedTuple):
    """What is compared day by day. upstream: "" where the partner does not tell its keys apart."""

    model: str
    upstream: str
    meter: str


# When a request counts: when it ended, when it began, or on either day where a midnight lies between.
CountedAt = Literal["end", "start", "either"]
COUNTED_AT: tuple[CountedAt, ...] = get_args(CountedAt)


class OurCounts:
    """Units by cell, day and the tier owed for. bounds: the start of each day, and the end of the last.

    The usage of attempts that gave no answer is in it: the upstream served it, whoever pays for it here.
    """

    def __init__(
        self,
        counted_at: CountedAt,
        bounds: Sequence[Instant],
        upstreams: Iterable[str],
        skew_us: int,
        *,
        by_key: bool,
    ) -> None:
        self.counted_at = counted_at
        self._bounds = bounds
        self._upstreams = frozenset(upstreams)
        self._skew_us = skew_us
        self._by_key = by_key
        self.units: dict[Cell, list[int]] = {}
        self._by_tier: dict[tuple[Cell, int], dict[str, int]] = {}
        self._late: dict[Cell, list[int]] = {}
        self._early: dict[Cell, list[int]] = {}
        self.waiting: dict[Cell, int] = defaultdict(int)

    def add_event(self, event: UsageEvent, tier: str, *, waits: bool = False) -> None:
        """Counts a usage event. tier: owed for. waits: it is in quarantine, though the upstream has served it."""
        of = (event.upstream, event.model, tier)
        self._add(of, event.meters, event.admitted_at, event.finished_at, waits)

    def add_attempt(self, model: str, tier: str, attempt: AttemptEnded, *, waits: bool = False) -> None:
        """Counts the usage of an attempt. tier: owed for. waits: the usage of its request is in quarantine."""
        self._add((attempt.upstream, model, tier), attempt.meters, attempt.began_at, attempt.at, waits)

    def tiers(self, cell: Cell, day: int) -> dict[str, int]:
        """{tier: units} of a day, where there are any."""
        return {tier: units for tier, units in self._by_tier.get((cell, day), {}).items() if units > 0}

    def midnights(self, cell: Cell) -> list[Midnight]:
        """What crossed the start of the first day and the end of each day."""
        none = [0] * len(self._bounds)
        return [
            Midnight(late, early)
            for late, early in zip(self._late.get(cell, none), self._early.get(cell, none), strict=True)
        ]

    def _add(
        self, of: tuple[str, str, str], meters: Mapping[str, int], began: Instant, ended: Instant, waits: bool
    ) -> None:
        upstream, model, tier = of
        if upstream not in self._upstreams:
            return
        if self.counted_at == "end":
            began = ended
        elif self.counted_at == "start":
            ended = began
        bounds, skew = self._bounds, self._skew_us
        day = bisect_right(bounds, began) - 1
        is_within = 0 <= day < len(bounds) - 1
        ends = bounds[day + 1] if day + 1 < len(bounds) else None
        for meter, quantity in meters.items():
            cell = Cell(model, upstream if self._by_key else "", _COMPARED_AS.get(meter, meter))
            if is_within:
                self.units.setdefault(cell, [0] * (len(bounds) - 1))[day] += quantity
                by_tier = self._by_tier.setdefault((cell, day), {})
                by_tier[tier] = by_tier.get(tier, 0) + quantity
                if waits:
                    self.waiting[cell] += quantity
            if ends is not None and ended + skew >= ends:
                self._late.setdefault(cell, [0] * len(bounds))[day + 1] += quantity
            if day >= 0 and began - skew < bounds[day]:
                self._early.setdefault(cell, [0] * len(bounds))[day] += quantity
