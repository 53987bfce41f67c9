"""Writes the records of a gateway's requests to the usage log."""

from collections.abc import Sequence
from typing import Final

import msgspec

from entrepot.core.counting import Totals
from entrepot.core.errors import UsageLogUnavailable
from entrepot.core.log_records import (
    Abandoned,
    Admitted,
    Attempted,
    AttemptEnded,
    Progressed,
    ServedAt,
    UsageRecorded,
    UsageUntold,
)
from entrepot.core.periods import Instant
from entrepot.core.usage_event import Outcome, Source, UsageEvent
from entrepot.ports.clock import Clock
from entrepot.ports.event_log import Settling, UsageSink

RAW_BYTES_MAX: Final = 64 * 1024
PROGRESS_STREAMS_MAX: Final = 1000  # In one record, of about 40 bytes each.

# Bound once, for what every request calls; see decisions/0009.
_astuple: Final = msgspec.structs.astuple
_UsageEvent: Final = UsageEvent
_UsageRecorded: Final = UsageRecorded


class UsageWriter:
    """All records of one gateway process.

    A record's time is never before its request's admission, even when the clock stepped back in between.
    """

    def __init__(self, sink: UsageSink, clock: Clock) -> None:
        self._sink = sink
        self._settled = Totals()
        # Bound once, as above.
        self._append, self._settle = sink.append, sink.settle
        self._now, self._count = clock.now, self._settled.add

    @property
    def settled(self) -> dict[str, int]:
        """Units by meter so far."""
        return self._settled.numbers()

    @property
    def available(self) -> bool:
        """Whether usage can be made durable now; when not, nothing may be served."""
        return self._sink.available

    @property
    def answers(self) -> bool:
        """Whether the log answers; while it does not, no answer of ours ends."""
        return self._sink.answers

    @property
    def owed(self) -> int:
        """How many requests' usage the log did not take yet; it will, by itself."""
        return self._sink.owed

    def admit(self, admitted: Admitted) -> None:
        """Says that a request is about to go upstream. Not waited for: it is on disk before the request's usage is."""
        self._append(admitted)

    def progress(self, streams: Sequence[tuple[str, int]]) -> None:
        """Says how far streams have come: (id, output tokens). One record tells of many; see decisions/0038."""
        at = self._now()
        for start in range(0, len(streams), PROGRESS_STREAMS_MAX):
            event_id, output_tokens = streams[start]
            others = tuple(streams[start + 1 : start + PROGRESS_STREAMS_MAX])
            self._append(Progressed(event_id, at, output_tokens, others))

    def abandon(self, admitted: Admitted, outcome: Outcome, *, answered: bool, output_tokens: int) -> None:
        """Says that a request was given up before its usage was known. answered: whether a byte had come back."""
        at = self.now(admitted)
        self._append(Abandoned(admitted.id, at, outcome, answered, output_tokens, admitted.tier))

    def attempt(self, admitted: Admitted, number: int) -> Instant:
        """Says that a request is about to go to a further upstream, the one its admission names now; when that was."""
        at = self.now(admitted)
        self._append(Attempted(admitted.id, number, at, admitted.upstream))
        return at

    def served_at(self, admitted: Admitted, tier: str) -> None:
        """Says that an upstream served a request at another tier than it was asked for."""
        self._append(ServedAt(admitted.id, admitted.at, tier))

    def end_attempt(self, ended: AttemptEnded) -> None:
        """Says what came of an attempt that the client has no answer from."""
        if len(ended.raw) > RAW_BYTES_MAX:
            ended = msgspec.structs.replace(ended, raw=ended.raw[:RAW_BYTES_MAX])
        self._append(ended)

    def settle(
        self,
        admitted: Admitted,
        meters: dict[str, int],
        *,
        source: Source,
        outcome: Outcome,
        raw: bytes,
        waiter: Settling,
        budgets: tuple[tuple[str, int], ...] = (),
        untold: tuple[tuple[str, int], ...] | None = None,
    ) -> UsageEvent:
        """The usage, on its way to the log; the waiter hears when it is there, or that it is owed.

        raw: the upstream's usage object; of one longer than RAW_BYTES_MAX, its beginning. budgets: what this gateway
        counts for it, as core.log_records.Admitted.holds. untold: its upstream is to be asked first, and this is what
        was used beside what that will tell (core.log_records.UsageUntold.also).
        """
        # All fields at once, and as many at once for the event: each by itself is a search, and every request pays it.
        request_id, at, instance, customer, project, deployment, model, tier, upstream, key, _, _, holds = _astuple(
            admitted
        )
        finished_at = max(self._now(), at)
        if len(raw) > RAW_BYTES_MAX:
            raw = raw[:RAW_BYTES_MAX]
        event = _UsageEvent(
            request_id, at, finished_at, customer, project, deployment, model, tier, meters, source, outcome, upstream,
            key, raw,
        )  # fmt: skip
        self._count(meters)
        if untold is not None:
            self._settle(UsageUntold(event, untold, instance if holds else "", budgets), waiter)
        else:
            self._settle(_UsageRecorded(event, instance, budgets) if holds else _UsageRecorded(event), waiter)
        return event

    def now(self, admitted: Admitted) -> Instant:
        """The time to record for something that happens to an admitted request now."""
        return max(self._now(), admitted.at)


def log_unavailable() -> UsageLogUnavailable:
    """What a client is told while usage cannot be made durable."""
    return UsageLogUnavailable("Usage cannot be recorded now, so nothing is served; try again.", retry_after_s=1)
