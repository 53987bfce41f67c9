"""What a realtime session has begun and used: its responses, each admitted and settled under an id of its own."""

from collections.abc import Callable

import msgspec

from entrepot.admission.holds import Hold
from entrepot.core.log_records import Admitted
from entrepot.core.usage_event import Outcome, Source
from entrepot.dialects import realtime
from entrepot.dialects.openai_usage import UsageMismatch
from entrepot.flows.serve_inference.session_limits import SessionLimits
from entrepot.flows.serve_inference.shared import Shared
from entrepot.ports.event_log import Settling


class _Response:
    """One that has begun. counted: the parts of answers that had been relayed at that time. hold: of budgets."""

    __slots__ = ("admitted", "counted", "hold")

    def __init__(self, admitted: Admitted, counted: int, hold: Hold | None) -> None:
        self.admitted = admitted
        self.counted = counted
        self.hold = hold


class SessionRecords:
    """The records of one session. session: what responses are admitted as, but for their id and time."""

    __slots__ = ("_limits", "_number", "_open", "_shared", "session")

    def __init__(self, shared: Shared, session: Admitted, limits: SessionLimits | None = None) -> None:
        self._shared = shared
        self._limits = limits
        self.session = session
        self._number = 0
        self._open: dict[str, _Response] = {}

    @property
    def open(self) -> list[str]:
        """The responses that have begun and are not done."""
        return list(self._open)

    def begin(self, response: str, counted: int) -> bool:
        """Admits a response that the upstream says has begun; whether it may go on, as far as its budgets go."""
        begun = self._begin(response, counted)
        return self._limits is None or begun.hold is not None

    def settle(
        self,
        event: realtime.Event,
        counted: int,
        waiter: Settling,
    ) -> None:
        """Makes the usage durable that an event reports; the waiter hears of it.

        counted: as of a response's beginning, now.
        """
        source: Source = "reported"
        hold: Hold | None = None
        if event.kind == "transcribed":
            admitted = self._admitted(realtime.TRANSCRIPTION)
            meters = self._metered(realtime.transcription_meters, event.usage)
        else:
            begun = self._open.get(event.id) or self._begin(event.id, counted)
            del self._open[event.id]
            admitted, hold = begun.admitted, begun.hold
            meters = self._metered(realtime.meters_of, event.usage)
            if not event.usage and not event.is_free and event.outcome != "upstream_failed":
                source = "counted"
                meters = {"output_tokens": counted - begun.counted} if counted > begun.counted else {}
        limits, usage = self._limits, self._shared.usage
        budgets = () if limits is None else limits.spend(meters, hold, usage.now(admitted))
        usage.settle(
            admitted,
            meters,
            source=source,
            outcome=event.outcome,
            raw=event.usage,
            waiter=waiter,
            budgets=budgets,
        )

    def abandon(self, outcome: Outcome, counted: int) -> None:
        """Leaves what has begun and is not done to be resolved."""
        for begun in self._open.values():
            tokens = counted - begun.counted
            self._shared.usage.abandon(begun.admitted, outcome, answered=True, output_tokens=tokens)
            if begun.hold is not None:
                begun.hold.keep(self._shared.usage.now(begun.admitted))
        self._open.clear()

    def _begin(self, response: str, counted: int) -> _Response:
        limits = self._limits
        hold = None if limits is None else limits.take()
        begun = self._open[response] = _Response(self._admitted(hold=hold), counted, hold)
        if limits is not None:
            limits.ask(begun.admitted.at)
        return begun

    def _admitted(self, part: str = "", hold: Hold | None = None) -> Admitted:
        """The next admission. part: of work that another model does, which has a name and prices of its own."""
        self._number += 1
        session, usage = self.session, self._shared.usage
        behind = f"/{part}" if part else ""
        admitted = msgspec.structs.replace(
            session,
            id=f"{session.id}.{self._number}",
            at=usage.now(session),
            deployment=session.deployment + behind,
            model=session.model + behind,
            holds=() if hold is None else hold.budgets,
        )
        usage.admit(admitted)
        return admitted

    def _metered(self, read: Callable[[bytes], dict[str, int]], usage: bytes) -> dict[str, int]:
        """The meters of a usage object; none, when it cannot be read: it waits in quarantine then, where it is seen."""
        try:
            return read(usage) if usage else {}
        except UsageMismatch:
            self._shared.mismatches += 1
            return {}
