"""A request that meets limits: its hold, at once or when the counters have answered; what its connection waits for.

Where others may have units that they do not use, and are asked to give them back, the request waits for that, and asks
again, until they have nothing more or it has waited long enough.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from entrepot.admission.desk import Desk, Short
from entrepot.admission.holds import Hold, Need
from entrepot.admission.refusals import error_of
from entrepot.core.errors import EntrepotError
from entrepot.core.estimate import Estimate
from entrepot.core.periods import SECOND, Instant
from entrepot.core.usage_event import Outcome
from entrepot.relay.failures import crashed

_log = logging.getLogger("entrepot.gateway")
WAITS_US = SECOND // 4  # Others give back at their next sweep; it may take as long again until ours looks.
WAITS_US_MAX = SECOND


class UnderWay(Protocol):
    """What a connection waits for once the request is admitted."""

    def pause(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        ...

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone."""
        ...


class Refused(Protocol):
    """The client, as far as it is not admitted."""

    def refuse(self, error: EntrepotError) -> None:
        """An error of our own."""
        ...

    def left(self, outcome: Outcome) -> None:
        """It is gone."""
        ...


class Admitting:
    """One such request."""

    __slots__ = (
        "_at",
        "_began",
        "_client",
        "_desk",
        "_estimate",
        "_go_on",
        "_gone",
        "_needs",
        "_paused",
        "_refused",
        "_waiting",
        "_went_on",
    )

    def __init__(
        self,
        desk: Desk,
        waiting: "list[Admitting]",
        needs: list[Need],
        estimate: Estimate,
        at: Instant,
        client: Refused,
        go_on: Callable[[Hold], UnderWay],
        refused: "Callable[[Short, EntrepotError], UnderWay | None] | None" = None,
    ) -> None:
        """waiting: where it stands while others are asked to give back. go_on: releases the hold where it raises.

        refused: what becomes of it where it is not admitted, by default nothing but telling the client; what it waits
        for then, or None when the client was told.
        """
        self._desk = desk
        self._waiting = waiting
        self._needs = needs
        self._estimate = estimate
        self._at = self._began = at
        self._client = client
        self._go_on = go_on
        self._refused = refused
        self._went_on: UnderWay | None = None
        self._gone = False
        self._paused = False

    def start(self) -> None:
        """Asks the counters; everything else follows, perhaps before this returns."""
        self._desk.draw(self._needs, self._at, self._drawn)

    def try_again(self, at: Instant) -> bool:
        """Whether it was time to ask once more."""
        if at - self._at < WAITS_US:
            return False
        self._at = at
        if not self._gone:
            self.start()
        return True

    def pause(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        self._paused = paused
        if self._went_on is not None:
            self._went_on.pause(paused)

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone."""
        self._gone = True
        if self._went_on is None:
            self._client.left(outcome)
        else:
            self._went_on.client_left(outcome)

    def _drawn(self, result: Hold | Short) -> None:
        if self._gone:
            if isinstance(result, Hold):
                result.release(self._at)
        elif isinstance(result, Hold):
            self._admit(result)
        elif self._may_wait and result.shortage is not None and result.shortage.idle:
            self._waiting.append(self)
        else:
            error = self._error_of(result)
            self._desk.counts.refuse(result.need.met.served.name, error.code)
            self._refuse(result, error)

    def _error_of(self, short: Short) -> EntrepotError:
        return error_of(short, self._estimate, self._at)

    def _refuse(self, short: Short, error: EntrepotError) -> None:
        if self._refused is None:
            self._client.refuse(error)
            return
        self._went_on = self._refused(short, error)
        if self._paused and self._went_on is not None:
            self._went_on.pause(True)

    @property
    def _may_wait(self) -> bool:
        return self._at - self._began < WAITS_US_MAX

    def _admit(self, hold: Hold) -> None:
        try:
            self._went_on = self._go_on(hold)
        except EntrepotError as error:
            self._client.refuse(error)
        except Exception:  # noqa: BLE001 - a bug: logged, and told as one; who calls here may be a timer, or anybody
            _log.exception("request_not_begun")
            self._client.refuse(crashed())
        else:
            if self._paused:
                self._went_on.pause(True)
