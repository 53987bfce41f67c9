"""What a realtime session takes of its limits: a request when it begins, and what each of its responses has used.

How long a session will speak nobody knows ahead. Of windows and buckets it takes what its responses have used, whether
it fits or not. Of budgets it holds ahead what one response may use at most, and no response is given without a hold:
once one has begun, the next one's is asked for, and the client is not heard until it is there. A session whose budgets
have no room for a further response ends, and says why.
"""

from collections.abc import Callable, Sequence

from entrepot.admission.budgets import Budgets, Priced, Running
from entrepot.admission.desk import Desk
from entrepot.admission.holds import Hold, Need
from entrepot.core.errors import EntrepotError
from entrepot.core.estimate import Estimate
from entrepot.core.periods import Instant
from entrepot.core.usage_event import Outcome
from entrepot.flows.serve_inference.admitting import Admitting

NOTHING_ASKED = Estimate(0, 0, 0, 0)


def room_at_all(needs: list[Need]) -> list[Need]:
    """The needs of who asks for nothing yet, where there must be room at all."""
    return [Need(need.met, max(1, need.units)) for need in needs]


def response_needs(budgets: Budgets, met: Sequence[Running], asked: Priced) -> list[Need]:
    """What one response may use of budgets: its context full of what costs most. asked: with the whole context as
    prompt and as answer. Raises: NoPrice.
    """
    needs = []
    for budget, units in budgets.needs(met, asked):
        if budget.costs is None:
            needs.append(Need(budget.met, asked.estimate.output_tokens_max, budget))
        elif budget.parts:
            dearest = max(budget.parts, key=lambda part: part.pico)
            needs.append(Need(budget.met, min(units, dearest.pico), budget._replace(parts=(dearest,))))
        else:
            needs.append(Need(budget.met, units, budget))
    return needs


class SessionLimits:
    """Of one session. ahead: what its next response needs of budgets at an instant, see response_needs.

    waiting: see Admitting. ended: why the session cannot go on, once it has no hold for a further response.
    """

    __slots__ = (
        "_ahead", "_asking", "_at", "_changed", "_desk", "_estimate", "_has_freed", "_is_over", "_needs", "_next",
        "_tier", "_waiting", "ended",
    )  # fmt: skip

    def __init__(
        self,
        desk: Desk,
        waiting: list[Admitting],
        needs: list[Need],
        tier: str,
        hold: Hold,
        ahead: Callable[[Instant], list[Need]],
        estimate: Estimate,
    ) -> None:
        """needs: of the session itself. hold: of these, and of its first response. estimate: of any response."""
        self._desk = desk
        self._waiting = waiting
        self._needs = needs
        self._tier = tier
        self._next: Hold | None = hold
        self._ahead = ahead
        self._estimate = estimate
        self._asking: Admitting | None = None
        self._at: Instant = 0
        self._has_freed = False  # Since it was asked for last.
        self._changed: Callable[[], None] = _nothing
        self._is_over = False
        self.ended: EntrepotError | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a further response may begin."""
        return self._next is not None

    def begin(self, at: Instant, changed: Callable[[], None]) -> None:
        """The session has begun. changed: called when it is another thing whether a further response may begin."""
        self._changed = changed
        if self._next is not None:
            own, self._next = self._next.split()
            own.end({}, self._tier, at)

    def take(self) -> Hold | None:
        """The hold of a response that has begun; None where there is none, so that it must not go on."""
        hold, self._next = self._next, None
        return hold

    def ask(self, at: Instant) -> None:
        """Asks for the next response's hold, where there is none and nobody asks."""
        if self._next is not None or self._asking is not None or self._is_over:
            return
        self.ended, self._has_freed, self._at = None, False, at
        try:
            needs = self._ahead(at)
        except EntrepotError as error:
            self.refuse(error)
            return
        self._next = self._desk.hold(needs, at)
        if self._next is None:
            admitting = Admitting(self._desk, self._waiting, needs, self._estimate, at, self, self._granted)
            self._asking = admitting
            admitting.start()

    def spend(self, meters: dict[str, int], hold: Hold | None, at: Instant) -> tuple[tuple[str, int], ...]:
        """A response has used so much. Returns what is counted for it of budgets."""
        self._has_freed, self._at = True, at
        self._desk.spend(self._needs, meters, self._tier, at)
        return () if hold is None else hold.settle(meters, self._tier, at)

    def release(self, at: Instant) -> None:
        """The session is over, perhaps before it has begun."""
        self._is_over = True
        self._changed = _nothing
        hold, self._next = self._next, None
        if hold is not None:
            hold.release(at)
        if self._asking is not None:
            self._asking.client_left()

    # ---- as who is to be admitted, and as what that leads to

    def _granted(self, hold: Hold) -> "SessionLimits":
        self._asking = None
        self._next = hold
        self._changed()
        return self

    def refuse(self, error: EntrepotError) -> None:
        """There is no room for a further response now."""
        self._asking = None
        if self._has_freed:
            self.ask(self._at)
            return
        self.ended = error
        self._changed()

    def left(self, outcome: Outcome) -> None:
        """It asks no more."""

    def pause(self, paused: bool) -> None:
        """A session sets its own pace."""

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """A session that ends releases what it holds."""


def _nothing() -> None:
    """Where nobody is to be told."""
