"""When a request came to which point of its way, for one that somebody asked to time or that is part of a trace."""

from collections.abc import Callable

from entrepot.core.periods import Instant


class AttemptStages:
    """One attempt at an upstream. Instants, 0 where it never came so far: sent_at, with a connection; head_at, of a
    stream; ended_at. failure: why it came to nothing, or "". status: of its answer, or 0.
    """

    __slots__ = ("began_at", "ended_at", "failure", "head_at", "sent_at", "status", "upstream")

    def __init__(self, upstream: str, began_at: Instant) -> None:
        self.upstream = upstream
        self.began_at = began_at
        self.sent_at = self.head_at = self.ended_at = 0
        self.failure = ""
        self.status = 0


class Stages:
    """One request. identified_at: its caller was known; routed_at: so was where it goes; attempts: in their order.

    parent: the traceparent that an upstream gets with an attempt of this number, from 1; None to send none.
    """

    __slots__ = ("attempts", "identified_at", "now", "parent", "routed_at")

    def __init__(self, now: Callable[[], Instant], parent: Callable[[int], str] | None) -> None:
        self.now = now
        self.parent = parent
        self.identified_at = self.routed_at = 0
        self.attempts: list[AttemptStages] = []

    def begin(self, upstream: str) -> AttemptStages:
        """A further attempt, which begins where the one before has ended."""
        if self.attempts and not self.attempts[-1].ended_at:  # Its connection had gone stale; it is sent once more.
            self.end(0, "closed")
        began_at = self.attempts[-1].ended_at if self.attempts else self.routed_at
        attempt = AttemptStages(upstream, began_at)
        self.attempts.append(attempt)
        return attempt

    def end(self, status: int, failure: str = "") -> None:
        """The attempt under way is over."""
        attempt = self.attempts[-1]
        attempt.ended_at = self.now()
        attempt.status = status
        attempt.failure = failure
