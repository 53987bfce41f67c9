"""One request from its admission to its usage record, as its upstream, its client and the usage log tell it."""

from typing import Literal

import msgspec

from entrepot.admission.holds import Hold
from entrepot.core.errors import EntrepotError, UpstreamFailed
from entrepot.core.log_records import Admitted, AttemptEnded
from entrepot.core.upstream_rules import AbortRule
from entrepot.core.usage_event import AttemptOutcome, Outcome
from entrepot.dialects import openai
from entrepot.dialects.answers import NOTHING_ELSE, Said
from entrepot.dialects.asked import Asked
from entrepot.dialects.operations import Operation
from entrepot.flows.serve_inference.attempts import as_served, judge, metered, relay_refusal, speaks_of_itself
from entrepot.flows.serve_inference.client import Client, Departed
from entrepot.flows.serve_inference.shared import Shared
from entrepot.flows.serve_inference.taps import NewTap, taps_of
from entrepot.flows.serve_inference.untold import beside_untold, told_of_attempt
from entrepot.flows.serve_inference.ways import Way
from entrepot.metering.usage_writer import log_unavailable
from entrepot.relay.attempt import Attempt, Failure, Outlet, Taker
from entrepot.relay.failures import all_busy, error_of, unreachable
from entrepot.relay.http1 import AnswerHead
from entrepot.relay.usage_tap import StreamTap
from entrepot.routing.pool import Pool

# What is done for the client once usage is durable.
Then = Literal["nothing", "answer", "end_stream", "relay_refusal", "error"]


class Exchange:
    """One request from the moment it may go upstream, with its hold of limits; the taker of its attempts."""

    __slots__ = (
        "_admitted", "_announced", "_asked", "_attempt", "_attempts", "_began_at", "_body", "_client", "_ended",
        "_error", "_head", "_hold", "_inside", "_key_renewed", "_left", "_new_tap", "_number", "_operation", "_pool",
        "_reported", "_shared", "_then", "_tried", "_way", "_ways",
    )  # fmt: skip

    _attempt: Attempt
    _way: Way
    _head: AnswerHead
    _then: Then
    _error: EntrepotError

    def __init__(
        self,
        shared: Shared,
        client: Client,
        asked: Asked,
        operation: Operation,
        pool: Pool[Way],
        ways: tuple[Way, ...],
        admitted: Admitted,
        hold: Hold | None = None,
    ) -> None:
        self._shared = shared
        self._client = client
        self._asked: Asked | None = asked  # Let go of when the answer begins.
        # Usage that only we asked for is not shown to the client.
        self._new_tap: NewTap = taps_of(operation, drop_usage=asked.stream and not asked.wants_usage)
        self._operation = operation
        self._pool = pool
        self._ways = ways
        self._tried = 0
        self._admitted = admitted
        self._hold = hold
        self._began_at = 0  # An attempt after the first, which began with the request.
        self._attempts = 0  # That may have reached an upstream.
        self._number = 0  # Of the attempt under way among these, from 1,
        self._announced = False  # if it is one of them, and in the log.
        self._inside = False  # It has entered its upstream's endpoint.
        self._key_renewed = False
        self._left = False  # The client is gone, and the answer is read to its end.
        self._ended = False  # The last record is made; at most its way to the disk is still awaited.
        self._body = b""
        self._reported = 0

    # ---- to an upstream

    def start(self) -> None:
        """Begins an attempt at the first upstream that takes one, or refuses."""
        if not self._try_next_way():
            self._end()
            self._release()
            busy = any(way.endpoint.is_full for way in self._ways)
            self._client.refuse(all_busy() if busy else unreachable())

    def _try_next_way(self, taker: Taker | None = None) -> bool:
        """Whether an attempt at a further upstream has begun. taker: the exchange itself by default."""
        at = self._pool.enter(self._ways, self._tried)
        if at < 0:
            return False
        self._tried = at + 1
        self._try(self._ways[at], taker)
        return True

    def _try(self, way: Way, taker: Taker | None = None) -> None:
        self._way = way
        self._inside = True
        self._announced = False
        self._attempt = Attempt(way.lane, taker or self, self._new_tap)
        self._attempt.start()

    def next_request(self) -> bytes | None:
        """The upstream's request, the attempt being in the log; None when that has become unavailable meanwhile."""
        asked = self._asked
        assert asked is not None
        if not self._announced and not self._announce():
            return None
        way, operation = self._way, self._operation
        body = asked.write(way.model, self._admitted.project)
        media_type = asked.media_type if operation.is_form else ""
        self._attempt.key = way.destination.key
        return way.destination.request(operation.path, self._admitted.id, body, media_type)

    def _announce(self) -> bool:
        """Whether the attempt that begins now is in the log: the first with the admission."""
        usage = self._shared.usage
        if not self._attempts and not usage.available:
            self._end()
            self._leave()
            self._release()
            self._client.refuse(log_unavailable())
            return False
        if self._admitted.upstream != self._way.upstream:
            self._admitted = msgspec.structs.replace(self._admitted, upstream=self._way.upstream)
        self._announced = True
        self._attempts += 1
        self._number = self._attempts
        self._client.admitted = self._admitted
        if self._number == 1:
            usage.admit(self._admitted)
        else:
            self._began_at = usage.attempt(self._admitted, self._number)
        return True

    def _release(self) -> None:
        """Nothing of what it held was used."""
        if self._hold is not None:
            self._hold.release(self._admitted.at)

    def _leave(self) -> None:
        """The attempt is no more at its upstream's endpoint."""
        if self._inside:
            self._inside = False
            self._way.endpoint.leave()

    # ---- its answer

    def stream_begins(self, head: AnswerHead) -> Outlet:
        """The client's side of the stream, opened."""
        self._asked = None
        self._shared.streams.add(self)
        media_type = head.content_type if self._operation.answers.relays_bytes else ""
        send_chunk = self._client.open_stream(media_type)
        return Outlet(self._client.send, send_chunk)

    def stream_ended(self, tap: StreamTap) -> None:
        """Settles; what the tap holds of the stream's end is sent once that is done."""
        self._leave_well()
        outcome = openai.outcome_of(tap.finish)
        counted = None if outcome == "upstream_failed" else tap.counted
        self._served_at(tap.tier)
        self._settle(tap.usage, counted, outcome, "end_stream", tap.also)

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """Settles; the answer is sent once that is done."""
        if head.status >= 300:
            self._refused(head, body)
            return
        self._leave_well()
        self._head, self._body = head, body
        answers = self._operation.answers
        said = answers.whole(body)
        if said is None and answers.need_no_json(head.media_type):
            said = Said()
        if said is None:
            self._give_up(UpstreamFailed("The upstream's answer is not JSON."), answered=True)
        else:
            outcome = openai.outcome_of(said.finish)
            counted = None if outcome == "upstream_failed" else 0 if said.usage else answers.count(body)
            self._served_at(said.tier)
            self._settle(said.usage, counted, outcome, "answer", said.also, said.meters)

    def _refused(self, head: AnswerHead, body: bytes) -> None:
        """Tries elsewhere what may fare better there; settles the rest, which used nothing unless it says so."""
        said = openai.read_answer(body)
        usage = said.usage if said else b""
        if speaks_of_itself(head.status):
            self._leave()
            self._judge(head)
            if self._tries_with_a_new_key(head.status, usage) or self._tries_elsewhere("refused", head.status, usage):
                return
        else:
            self._leave_well()
        self._head, self._body = head, body
        self._settle(usage, None, openai.outcome_of_refusal(body), "relay_refusal")

    def failed(self, failure: Failure) -> None:
        """Tries the next upstream if the client has nothing of an answer yet; else the request ends here."""
        self._leave()
        if failure.reason != "crashed":
            self._judge(None)
            if not failure.sent:
                if not self._left and self._try_next_way():
                    return
            elif not failure.answered and self._tries_elsewhere(failure.reason, 0, b""):
                return
        self._give_up(error_of(failure), answered=failure.answered)

    def _leave_well(self) -> None:
        """The upstream has done its part."""
        self._leave()
        endpoint = self._way.endpoint
        if endpoint.health.troubled:
            self._shared.ways.fleet.succeeded(endpoint, self._now())

    def _tries_with_a_new_key(self, status: int, usage: bytes) -> bool:
        """Whether the same upstream is tried once more, having refused a key that has been changed meanwhile."""
        way = self._way
        if status not in {401, 403} or self._key_renewed or self._left:
            return False
        if not self._shared.ways.has_new_key(way, self._attempt.key):
            return False
        self._key_renewed = True
        if not way.endpoint.enter(untried=True):
            return False
        self._end_attempt("refused", status, usage)
        self._try(way)
        return True

    def _tries_elsewhere(self, outcome: AttemptOutcome, status: int, usage: bytes) -> bool:
        """Whether a further upstream is tried after an attempt that came to nothing."""
        pool, tried = self._pool, self._tried
        if self._left or self._attempts > pool.rules.retries or tried >= len(self._ways):
            return False
        at = pool.enter(self._ways, tried) if pool.budget.take(pool.requests) else -1
        if at < 0:
            return False
        self._end_attempt(outcome, status, usage)
        self._tried = at + 1
        self._try(self._ways[at])
        return True

    def _end_attempt(self, outcome: AttemptOutcome, status: int = 0, usage: bytes = b"") -> None:
        tap = self._attempt.tap
        counted = 0 if tap is None else tap.counted
        meters, usage = told_of_attempt(self._way, self._operation, self._admitted, usage)
        self._shared.usage.end_attempt(AttemptEnded(
            self._admitted.id, self._number, self._began_at or self._admitted.at, self._now(), self._way.upstream,
            outcome, status, counted, meters, usage,
        ))  # fmt: skip

    def _judge(self, head: AnswerHead | None) -> None:
        """Tells the fleet of an answer that speaks of its upstream, or that there was none."""
        judge(self._shared.ways.fleet, self._way.endpoint, head, self._now())

    def _now(self) -> int:
        return self._shared.usage.now(self._admitted)

    # ---- from the client, and from the clock

    def pause(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        self._attempt.pause(paused)

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone, or this process stops: the upstream's rule says what becomes of the answer."""
        if self._ended:
            self._then = "nothing"
            self._client.left(outcome)
            return
        if outcome == "client_left" and self._rule == "drain" and self._attempt.was_sent:
            self._left = True
            self._client = Departed(self._client)
            self._shared.left.add(self)
            self._attempt.mute()
            return
        self._then = "nothing"
        self._attempt.cancel()
        self._leave()
        self._record_unfinished(outcome, answered=self._attempt.has_answered)
        self._client.left(outcome)

    def progress(self) -> tuple[str, int] | None:
        """Its id and how many output tokens have been relayed, when there are more than it said last time."""
        tap = self._attempt.tap
        if tap is None or tap.counted == self._reported:
            return None
        self._reported = tap.counted
        return self._admitted.id, tap.counted

    # ---- how it ends

    @property
    def _rule(self) -> AbortRule:
        return self._way.endpoint.rules.on_client_abort

    def _give_up(self, error: EntrepotError, *, answered: bool) -> None:
        """Ends a request whose upstream failed, or at whose end something of ours did."""
        self._error, self._then = error, "error"
        if self._ended or not self._record_unfinished("upstream_failed", answered=answered):
            self.settled()

    def _record_unfinished(self, outcome: Outcome, *, answered: bool) -> bool:
        """Whether usage is being settled: it is known, or is to be none. If not, it is left to be resolved."""
        tap = self._attempt.tap
        if tap is not None:
            self._served_at(tap.tier)
        if tap is not None and tap.final_usage:
            self._settle(tap.final_usage, None, outcome, self._then)
            return True
        if self._announced and outcome != "upstream_failed" and self._rule == "no_bill":
            self._end_attempt("client_left")
            self._settle(b"", None, outcome, self._then)
            return True
        if self._attempts and not self._announced:  # An earlier attempt came to nothing, and this one to nobody.
            self._settle(b"", None, outcome, self._then)
            return True
        self._end()
        if not self._attempts:
            self._release()
        else:
            if self._hold is not None:
                self._hold.keep(self._now())
            counted, outcome = 0 if tap is None else tap.counted, "client_left" if self._left else outcome
            self._shared.usage.abandon(self._admitted, outcome, answered=answered, output_tokens=counted)
        return False

    def _served_at(self, tier: str) -> None:
        """Notes which tier of service the upstream says that the answer is of, or ""."""
        if tier and tier != self._admitted.tier:
            self._admitted = as_served(self._admitted, tier, self._client, self._shared)

    def _end(self) -> None:
        self._ended = True
        self._shared.streams.discard(self)
        self._shared.left.discard(self)

    def _settle(
        self,
        usage: bytes,
        counted: int | None,
        outcome: Outcome,
        then: Then,
        also: dict[str, int] = NOTHING_ELSE,
        known: dict[str, int] | None = None,
    ) -> None:
        """Makes the usage durable, and only then does what ends the request. counted, also, known: see metered."""
        self._end()
        self._then = then
        meters, source = metered(self._operation, self._admitted, usage, counted, also, known)
        if meters is None:  # Raw usage without meters goes to quarantine, where it is seen; nobody guesses.
            self._shared.mismatches += 1
        budgets = self._hold.end(meters, self._admitted.tier, self._now()) if self._hold is not None else ()
        self._client.usage = self._shared.usage.settle(
            self._admitted,
            meters or {},
            source=source,
            outcome="client_left" if self._left else outcome,
            raw=usage,
            budgets=budgets,
            waiter=self,
            untold=beside_untold(self._way, self._operation, also) if meters is None or source != "reported" else None,
        )

    def settled(self) -> None:
        """The usage is durable: the client is given what waited for it."""
        then, self._then = self._then, "nothing"
        if then == "answer":
            self._send_answer()
        elif then == "end_stream":
            tap = self._attempt.tap
            self._client.end_stream(b"" if tap is None else tap.held)
        elif then == "relay_refusal":
            relay_refusal(self._client, self._head, self._body, self._way.destination)
        elif then == "error":
            self._send_error()

    def not_settled(self) -> None:
        """The usage is owed to the log; the client is not given the end of an answer that may yet be lost."""
        if self._then != "nothing":
            self._error = log_unavailable()
            self._send_error()

    def _send_answer(self) -> None:
        answers = self._operation.answers
        if answers.may_be_text or answers.relays_bytes:
            self._client.answer(self._head.status, self._body, self._head.content_type)
        else:
            self._client.answer(self._head.status, self._body)

    def _send_error(self) -> None:
        if self._attempt.tap is None:
            self._client.refuse(self._error)
        else:
            self._client.break_stream(self._error)
