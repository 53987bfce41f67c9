"""A realtime session: a WebSocket relayed both ways, of which every response is recorded like a request.

The upstream begins responses when it likes, and says what one used when it is done. So a response is admitted when the
upstream says that it has begun, and settled when it says that it is done: the last bytes of that event wait for the
usage to be durable, with what follows them, and nothing else does. Responses have the session's id with their number
behind it. Between responses a session uses nothing, and nothing is recorded of it.

When a client leaves, the upstream is told to cancel what it is at, and heard out: what it then reports is what counts,
also of a response that the client had only just asked for. Only where it does not say within a few seconds is the rest
left to be resolved (docs/operations/usage-rules.md).
"""

import asyncio
from collections.abc import Callable
from urllib.parse import quote

import msgspec

from entrepot.core.errors import EntrepotError, UpstreamFailed
from entrepot.core.log_records import Admitted
from entrepot.core.periods import Instant
from entrepot.core.usage_event import Outcome
from entrepot.dialects import realtime
from entrepot.flows.serve_inference.attempts import judge, speaks_of_itself, told_in
from entrepot.flows.serve_inference.session_client import Outlet, SessionClient
from entrepot.flows.serve_inference.session_limits import SessionLimits
from entrepot.flows.serve_inference.session_records import SessionRecords
from entrepot.flows.serve_inference.shared import Shared
from entrepot.flows.serve_inference.ways import Way
from entrepot.metering.usage_writer import log_unavailable
from entrepot.ports.event_log import Told
from entrepot.relay.failures import all_busy, unreachable
from entrepot.relay.frames import CLOSE, TEXT, BrokenFrames, FrameReader, MessageScanner, Part, close_frame, frame
from entrepot.relay.gate import Gate
from entrepot.relay.upgrade import Refused, Upgrade, UpstreamSocket, upgrade_request
from entrepot.routing.pool import Pool

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NOT_ALLOWED, SERVER_FAILED = 1000, 1001, 1002, 1008, 1011

CANCELLED_S_MAX = 5.0  # How long an upstream may take to say what a cancelled response used,
SILENT_S_MAX = 1.0  # and how long to say that there was none.
_HELD_BYTES_MAX = 2**20


class Session:
    """One session, from the moment it may go upstream; the listener of its upstream's socket."""

    def __init__(
        self,
        shared: Shared,
        sessions: "set[Session]",
        client: SessionClient,
        asked: Upgrade,
        pool: Pool[Way],
        ways: tuple[Way, ...],
        admitted: Admitted,
        limits: SessionLimits | None = None,
    ) -> None:
        """sessions: where it stands while it is open. admitted: what responses are, but for their id and time."""
        self._shared = shared
        self._sessions = sessions
        self._client = client
        self._asked = asked
        self._pool = pool
        self._ways = ways
        self._tried = 0
        self._records = SessionRecords(shared, admitted, limits)
        self._limits = limits
        self._way: Way
        self._inside = False  # It has entered that upstream's endpoint.
        self._upstream: UpstreamSocket | None = None
        self._outlet: Outlet | None = None  # None before the session begins, and when its client is gone.
        self._gate = Gate(self._write)
        self._from_upstream = MessageScanner(realtime.MARKS, realtime.PART)
        self._from_client = FrameReader(masked=True)
        self._paused = False  # The client takes no more.
        self._is_full = False  # The upstream takes no more.
        self._is_closing = False  # The client has said so, or has left.
        self._is_lost = False  # The upstream is; what it said last may still be held.
        self._held_between = False  # Before what is held, a frame of ours could be put.
        self._patience: asyncio.TimerHandle | None = None  # Runs while the upstream is heard out,
        self._said_last = False  # which is told last to end whatever it has begun meanwhile,
        self._is_heard_out = False  # and has answered that.
        self._over = False

    @property
    def is_idle(self) -> bool:
        """Whether no response is being given."""
        return not self._records.open and not self._gate.size

    # ---- to an upstream

    def start(self) -> None:
        """Asks the first upstream that takes a session, or refuses."""
        if not self._try_next_way():
            self._over = True
            self._release()
            busy = any(way.endpoint.is_full for way in self._ways)
            self._client.refuse(all_busy() if busy else unreachable())

    def _try_next_way(self) -> bool:
        """Whether a further upstream was asked."""
        at = self._pool.enter(self._ways, self._tried)
        if at < 0:
            return False
        self._tried = at + 1
        self._way = way = self._ways[at]
        self._inside = True
        records = self._records
        records.session = msgspec.structs.replace(records.session, upstream=way.upstream)
        target = f"{realtime.PATH}?model={quote(way.model, safe='')}"
        request = upgrade_request(way.destination, target, records.session.id, self._asked)
        self._upstream = UpstreamSocket(self, request, self._asked, way.lane.limits.first_byte_s)
        self._upstream.start(way.lane)
        return True

    def opened(self, accept: bytes, protocol: bytes) -> None:
        """The session begins."""
        if self._limits is not None:
            self._limits.begin(self._now(), self._follow_limits)
        if self._way.endpoint.health.troubled:
            self._shared.ways.fleet.succeeded(self._way.endpoint, self._now())
        self._outlet = self._client.accept(accept, protocol, self)
        self._sessions.add(self)
        self._outlet.start()

    def failed(self, refused: Refused | None, *, reached: bool) -> None:
        """Tries another upstream, if this one cannot have been asked; else tells the client why not."""
        self._leave()
        if refused is None:
            self._shared.ways.fleet.failed(self._way.endpoint, self._now())
        elif speaks_of_itself(refused.head.status):
            judge(self._shared.ways.fleet, self._way.endpoint, refused.head, self._now())
        if not reached and self._try_next_way():
            return
        self._over = True
        self._release()
        if not reached:
            self._client.refuse(unreachable())
        elif refused is None or refused.head.status < 400 or refused.head.status in {401, 403}:
            self._client.refuse(UpstreamFailed("The upstream did not accept the WebSocket."))
        else:
            error = told_in(refused.body, self._way.destination)
            self._client.relay_error(refused.head.status, error, refused.head.field(b"retry-after"))

    def _leave(self) -> None:
        """The session is no more at its upstream's endpoint."""
        if self._inside:
            self._inside = False
            self._way.endpoint.leave()

    def _release(self) -> None:
        """It takes nothing more of its limits."""
        if self._limits is not None:
            self._limits.release(self._now())

    def _now(self) -> Instant:
        return self._shared.usage.now(self._records.session)

    # ---- from the upstream

    def received(self, data: bytes) -> None:
        """Relays what the upstream says; reads what it says of responses."""
        try:
            parts = self._from_upstream.feed(data)
        except BrokenFrames:
            self._end("upstream_failed", SERVER_FAILED, "the upstream spoke no WebSocket")
            return
        for part in parts:
            event = realtime.read_event(part.message) if part.message else None
            if event is None:
                self._is_heard_out = self._is_heard_out or realtime.LAST_MARK in part.message
                self._gate.send(part.data)
            elif event.kind == "created":
                self._begin(event.id, part)
                if self._over:
                    return
                self._gate.send(part.data)
            else:
                self._settle(event, part)
        if self._gate.size > _HELD_BYTES_MAX:
            self._set_pace()
        self._end_if_heard_out()

    def pause(self, paused: bool) -> None:
        """The upstream takes no more for now, or does again."""
        self._is_full = paused
        self._hear_client()

    def _hear_client(self) -> None:
        """Hears the client as long as the upstream takes more, and what it may lead to is held."""
        if self._outlet is not None:
            self._outlet.pause_reading(self._is_full or (self._limits is not None and not self._limits.is_ready))

    def lost(self) -> None:
        """The upstream is gone; what it said last is still given."""
        self._is_lost = True
        if not self._gate.size:
            outcome: Outcome = "client_left" if self._is_closing else "upstream_failed"
            self._end(outcome, SERVER_FAILED, "the upstream is gone")

    # ---- from the client, and from the process

    def sent(self, data: bytes) -> None:
        """Relays what the client says."""
        try:
            pieces = self._from_client.feed(data)
        except BrokenFrames as error:
            self._end("client_left", PROTOCOL_ERROR, str(error))
            return
        close = next((piece for piece in pieces if piece.kind == CLOSE and piece.ends), None)
        if close is not None and not self._from_upstream.is_closed:  # Else it answers the upstream's, and goes there.
            if close.begins:
                self._hang_up(data[: close.at])
                return
            self._is_closing = True  # Its first bytes went upstream already.
        if self._upstream is not None:
            self._upstream.write(data)

    def slow(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        self._paused = paused
        self._set_pace()

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone, or is to be let down. Before the session began, that is all."""
        if self._over:
            return
        if self._outlet is not None:
            self._outlet = None
            self._leave_to_upstream(outcome)
            return
        self._over = True
        self._leave()
        self._release()
        if self._upstream is not None:
            self._upstream.close()
        self._client.left(outcome)

    def go_away(self) -> None:
        """Ends a session in which no response is being given, because the process stops."""
        self._end("gateway_lost", GOING_AWAY, "the gateway is stopping")

    def cut(self) -> None:
        """Ends the session wherever it is."""
        self._end("gateway_lost", GOING_AWAY, "the gateway has stopped")

    # ---- responses

    def _begin(self, response: str, part: Part) -> None:
        if not self._records.begin(response, part.counted) and self._patience is None:
            self._end("gateway_lost", NOT_ALLOWED, "nothing is held for a further response")
            return
        self._hear_client()
        if self._patience is not None and self._upstream is not None:  # Its client had asked for it before it left.
            self._is_heard_out = self._said_last
            self._tell(self._upstream, realtime.cancel(response))

    def _settle(self, event: realtime.Event, part: Part) -> None:
        """Makes the usage of a response durable; the bytes that end it wait for that."""
        if not self._gate.size:
            self._held_between = part.between
        let_go = self._gate.hold(part.data)
        if self._patience is not None and event.kind == "done":
            event = event._replace(outcome="client_left")
            if self._way.endpoint.rules.on_client_abort == "no_bill":
                event = event._replace(usage=b"", is_free=True)
        self._records.settle(event, part.counted, Told(lambda: self._settled(let_go), self._not_settled))

    def _settled(self, let_go: Callable[[], None]) -> None:
        let_go()
        self._set_pace()
        if self._gate.size:
            return
        if self._is_lost:
            self.lost()
        else:
            if self._limits is not None and not self._limits.is_ready:
                self._limits.ask(self._now())  # What is settled has made room.
            self._follow_limits()
            self._end_if_heard_out()

    def _follow_limits(self) -> None:
        """Ends a session that has given all it can, and hears one that may go on."""
        if self._limits is None or self._over:
            return
        if self._limits.ended is not None and self.is_idle:
            self._explain(self._limits.ended)
        else:
            self._hear_client()

    def _explain(self, error: EntrepotError) -> None:
        """Ends the session with an event that says why."""
        if self._outlet is not None and self._from_upstream.is_between and not self._from_upstream.is_closed:
            event = realtime.error_event(self._client.error_body(error))
            self._outlet.write(frame(TEXT, event, masked=False))
        self._end("gateway_lost", NOT_ALLOWED, error.code)

    def _not_settled(self) -> None:
        """The usage is owed to the log; the client is not given the end of what may yet be lost."""
        self._end("upstream_failed", SERVER_FAILED, log_unavailable().message)

    # ---- how it ends

    def _hang_up(self, rest: bytes) -> None:
        """The client ends the session: it is answered here, and the upstream heard out. rest: what it said before."""
        if rest and self._upstream is not None:
            self._upstream.write(rest)
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            if self._from_upstream.is_between and not self._gate.size:
                outlet.write(close_frame(NORMAL, "", masked=False))
            outlet.end()
        self._leave_to_upstream("client_left")

    def _leave_to_upstream(self, outcome: Outcome) -> None:
        """Nobody listens any more: what was begun is cancelled and settled, if the upstream plays along."""
        self._is_closing = True
        if outcome == "client_left" and not self._is_lost and self._upstream and self._from_client.is_between:
            self._hear_out(self._upstream)
        elif not self._gate.size:
            self._end(outcome, GOING_AWAY, "")

    def _hear_out(self, upstream: UpstreamSocket) -> None:
        """Tells the upstream to end its responses; it will say what they used."""
        self._from_upstream.watch(realtime.LAST_MARK)
        limit_s = CANCELLED_S_MAX if self._records.open else SILENT_S_MAX
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(limit_s, self._end, "client_left", GOING_AWAY, "")
        for response in self._records.open:
            self._tell(upstream, realtime.cancel(response))
        self._set_pace()
        self._end_if_heard_out()

    def _end_if_heard_out(self) -> None:
        """Says the last word once nothing is open, and ends when that was heard."""
        if self._patience is None or not self.is_idle or self._upstream is None:
            return
        if self._is_heard_out:
            self._end("client_left", GOING_AWAY, "")
        elif not self._said_last:
            self._said_last = True
            self._tell(self._upstream, realtime.LAST_WORD)

    def _tell(self, upstream: UpstreamSocket, event: bytes) -> None:
        upstream.write(frame(TEXT, event, masked=True))

    def _end(self, outcome: Outcome, code: int, reason: str) -> None:
        """Ends both sides; what was begun and not settled is left to be resolved."""
        if self._over:
            return
        self._over = True
        self._leave()
        self._sessions.discard(self)
        if self._patience is not None:
            self._patience.cancel()
        self._records.abandon(outcome, self._from_upstream.counted)
        self._release()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if self._from_client.is_between:
                ending = NORMAL if outcome == "client_left" else GOING_AWAY
                upstream.write(close_frame(ending, "", masked=True))
            upstream.close()
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            between = self._held_between if self._gate.size else self._from_upstream.is_between
            if between and not self._from_upstream.is_closed:
                outlet.write(close_frame(code, reason, masked=False))
            outlet.end()
        self._gate.drop()
        self._client.left(outcome)

    def _write(self, data: bytes) -> None:
        if self._outlet is not None:
            self._outlet.write(data)

    def _set_pace(self) -> None:
        """Takes from the upstream what the client can take, and not too much ahead of what is held."""
        if self._upstream is not None:
            waits = (self._paused and self._outlet is not None) or self._gate.size > _HELD_BYTES_MAX
            self._upstream.pause_reading(waits)
