"""An exchange that may ask a second upstream, where its pool says so; all others do not pay for it."""

import msgspec

from entrepot.core.usage_event import AttemptOutcome, Outcome
from entrepot.flows.serve_inference.exchange import Exchange
from entrepot.flows.serve_inference.hedge import AttemptState, Race, Runner
from entrepot.flows.serve_inference.ways import Way
from entrepot.relay.attempt import Taker
from entrepot.relay.http1 import AnswerHead


class HedgedExchange(Exchange):
    """The same exchange; what it hears of its attempts comes through their runners, while there is a race."""

    __slots__ = ("_race",)

    _race: Race | None

    def start(self) -> None:
        """See Exchange."""
        after_ms = self._pool.rules.hedge_after_ms
        self._race = Race(self, self._shared, after_ms) if after_ms and len(self._ways) > 1 else None
        super().start()

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """See Exchange."""
        if self._race is not None and not self._ended:
            self._race.prefer_what_was_sent()
        super().client_left(outcome)

    def _try(self, way: Way, taker: Taker | None = None) -> None:
        """The first attempt begins the race; one that takes the place of another ends it."""
        race = self._race
        if race is not None and taker is None:
            taker = race.first()
        super()._try(way, taker)

    def _end(self) -> None:
        super()._end()
        if self._race is not None:
            self._race.over()

    # ---- as its race sees it

    def swap(self, state: AttemptState | None) -> AttemptState:
        """See hedge.Hedged."""
        last = self._way, self._attempt, self._number, self._began_at, self._announced, self._inside
        if state is not None:
            self._way, self._attempt, self._number, self._began_at, self._announced, self._inside = state
            if self._announced and self._admitted.upstream != self._way.upstream:
                self._admitted = msgspec.structs.replace(self._admitted, upstream=self._way.upstream)
        return last

    def begin_hedge(self, taker: Runner) -> bool:
        """See hedge.Hedged."""
        pool = self._pool
        return (
            self._tried < len(self._ways)
            and not self._left
            and pool.budget.take(pool.requests)
            and self._try_next_way(taker)
        )

    def end_attempt(
        self, outcome: AttemptOutcome, status: int = 0, usage: bytes = b"", *, runs_on: bool = False
    ) -> None:
        """See hedge.Hedged."""
        if not runs_on:
            self._leave()
        if self._announced:
            self._end_attempt(outcome, status, usage)

    def judge(self, head: AnswerHead | None) -> None:
        """See hedge.Hedged."""
        self._judge(head)
