"""Appending to the log of a running log process from a gateway's event loop, without waiting.

What is settled during one turn of the loop leaves as one batch in one write, behind everything that was appended. What
is only appended waits for the next such batch, HELD_S at most: nobody waits for it, and the log process is not woken
for it. Callbacks run in the loop, never inside append or settle.

Where `kept_is_safe`, who waits is told as soon as the record is in `kept`, and it leaves like what is only appended.
What could not be kept waits for the disk all the same, and so does what comes behind SAFE_BYTES_MAX: gateways that are
faster than their disk are held back by waiting, as they are otherwise, and not by refusing.

While the log cannot be written, everything is kept and sent again, in order, before anything newer; whoever waits for a
settled record is told that it failed, and the record is owed. When the connection ends the gateway is to end, too
(crash-only): the log process declares the instance lost, and what was open is resolved from the log. What was not
acknowledged by then is in `kept`, from before it was sent.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from entrepot.core import shortcuts
from entrepot.core.errors import BadInput, UsageLogUnavailable
from entrepot.core.log_records import LogRecord, encode_record
from entrepot.core.log_wire import (
    ACK,
    NACK,
    STATE,
    Message,
    MessageReader,
    batch,
    hello,
    read_ack,
    read_nack,
    read_state,
)
from entrepot.core.segments import frame
from entrepot.ports.event_log import KeepsFrames, Settling

HELD_S = 0.005  # About as long as a flush on a slow disk: what a power cut may take with it hardly grows.
HOARDED_BYTES_MAX = 32 * 2**20  # Half of what one batch may hold; hours of an unwritable disk on a busy gateway.
UNSENT_BYTES_MAX = 4 * 2**20  # While a flush lasts; beyond this, new requests would only wait.
SILENT_TICKS_MAX = 5  # A flush takes milliseconds; a disk that takes seconds is not only slow.
TOLD_AT_ONCE = 200  # Of those who wait: some milliseconds, after a flush that took a second.
SAFE_BYTES_MAX = 2**20  # A quarter of what is kept: the rest is for requests that are under way.

_framed: Final = shortcuts.framed
_events = logging.getLogger("entrepot.gateway")

Callback = Callable[[], None]


class _Unanswered(NamedTuple):
    """Frames on their way. kept_size: how much of them is kept. settled: who waits. owed: who waited in vain before."""

    sequence: int
    frames: list[bytes]
    kept_size: int
    settled: list[Settling]
    owed: int


class SocketUsageSink(asyncio.Protocol):
    """A connection to the log process. Meets the port UsageSink. on_lost: called once when the connection breaks.

    kept_is_safe: nobody waits for the disk as long as little is kept.
    """

    def __init__(
        self, instance: str, on_lost: Callback, kept: KeepsFrames | None = None, *, kept_is_safe: bool = False
    ) -> None:
        self._instance = instance
        self._kept = kept
        self._kept_is_safe = kept is not None and kept_is_safe
        self._keep = None if kept is None else kept.add
        self._has_room = True
        self._kept_bytes = 0
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._messages = MessageReader()
        # What is not sent yet, in the parts that will make an _Unanswered.
        self._frames: list[bytes] = []
        self._kept_size = 0
        self._settled: list[Settling] = []
        self._owed = 0
        self._held: asyncio.TimerHandle | None = None
        self._unanswered: deque[_Unanswered] = deque()
        self._epoch = 0
        self._sequence = 0
        self._ready = False
        self._writable = True
        self._hoarded_bytes = 0
        self._all_answered: asyncio.Future[None] | None = None
        self._oldest = 0
        self._silent_ticks = 0

    @property
    def available(self) -> bool:
        return self._ready and self._writable and self._has_room

    @property
    def answers(self) -> bool:
        return self._silent_ticks < SILENT_TICKS_MAX

    def tick(self) -> None:
        """To be called once a second: counts how often the batch that has waited longest is the one of last time."""
        oldest = self._unanswered[0].sequence if self._unanswered else 0
        self._silent_ticks = self._silent_ticks + 1 if oldest and oldest == self._oldest else 0
        self._oldest = oldest

    @property
    def owed(self) -> int:
        return self._owed + sum(sent.owed for sent in self._unanswered)

    def append(self, record: LogRecord) -> None:
        size = self._frame(record)
        if self._ready:
            self._send_soon()
        else:
            self._hoard(size)

    def settle(self, record: LogRecord, waiter: Settling) -> None:
        size = self._frame(record)
        if not self._ready:
            self._owed += 1
            self._hoard(size)
            self._loop.call_soon(waiter.not_settled)
        elif self._kept_is_safe and self._has_room and self._kept_bytes <= SAFE_BYTES_MAX:  # So this record is kept.
            self._send_soon()
            self._loop.call_soon(waiter.settled)
        else:
            if not self._settled:
                self._loop.call_soon(self._send)
            self._settled.append(waiter)

    async def close(self) -> None:
        """Ends the connection once everything is durable; on_lost is not called.

        What the log cannot take now is not waited for where it is kept: the log process has it from there.
        """
        self._send()
        if (self._frames or self._unanswered) and (self._ready or self._kept is None):
            self._all_answered = self._loop.create_future()
            await self._all_answered
        self._on_lost = _nothing
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(UNSENT_BYTES_MAX)
        self._transport.write(hello(self._instance))

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._messages.feed(data):
                self._take(message)
        except BadInput as error:
            _events.error("log_connection_dropped reason=%s", error)
            if self._transport is not None:
                self._transport.abort()

    def pause_writing(self) -> None:
        self._writable = False  # The log process is behind; new requests would only wait.

    def resume_writing(self) -> None:
        self._writable = True

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._refused()
        self._wait_no_more()
        if not self.welcomed.done():
            self.welcomed.set_exception(
                UsageLogUnavailable("the log process ended the connection; see its own messages")
            )
        self._on_lost()

    def _frame(self, record: LogRecord) -> int:
        """Keeps the record's frame, and puts it into the next batch. Returns its size."""
        framed = _framed(record) or frame(encode_record(record))
        self._frames.append(framed)
        size = len(framed)
        keep = self._keep
        if keep is not None:
            self._has_room = keep(framed)
            if self._has_room:
                self._kept_size += size
                self._kept_bytes += size
        return size

    def _send_soon(self) -> None:
        """Within HELD_S, or with what is settled before."""
        if self._held is None and not self._settled:
            self._held = self._loop.call_later(HELD_S, self._send)

    def _send(self) -> None:
        """One batch of everything since the last one; nothing while the log cannot be written."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
        if not self._ready or not self._frames or self._transport is None:
            return
        self._sequence += 1
        self._transport.write(batch(self._epoch, self._sequence, self._frames))
        self._unanswered.append(_Unanswered(self._sequence, self._frames, self._kept_size, self._settled, self._owed))
        self._frames, self._kept_size, self._settled, self._owed = [], 0, [], 0

    def _take(self, message: Message) -> None:
        if message.kind == ACK:
            self._acknowledged(read_ack(message.body))
        elif message.kind == NACK:
            self._epoch, reason = read_nack(message.body)
            _events.error("usage_refused reason=%s", reason)
            self._refused()
            if self._kept is not None:
                self._wait_no_more()
        elif message.kind == STATE:
            self._ready, reason = read_state(message.body)
            self._hoarded_bytes = 0
            if self._ready:
                self._send()
            else:
                _events.error("usage_log_unavailable reason=%s", reason)
                self._keep_unsent()
            if not self.welcomed.done():
                self.welcomed.set_result(None)

    def _acknowledged(self, sequence: int) -> None:
        unanswered, kept_size = self._unanswered, 0
        waiting: list[Settling] = []
        while unanswered and unanswered[0].sequence <= sequence:
            sent = unanswered.popleft()
            kept_size += sent.kept_size
            waiting += sent.settled
        self._tell_durable(waiting, 0)
        if self._kept is not None and kept_size:
            self._kept.drop(kept_size)
            self._kept_bytes -= kept_size
            self._has_room = True
        if self._all_answered is not None and not unanswered and not self._frames:
            self._wait_no_more()

    def _tell_durable(self, waiting: list[Settling], begin: int) -> None:
        """Ends the answers that waited, from one on: a few in each turn of the loop, for all others stand still."""
        end = begin + TOLD_AT_ONCE
        for waiter in waiting[begin:end]:
            _tell(waiter, durable=True)
        if end < len(waiting):
            self._loop.call_soon(self._tell_durable, waiting, end)

    def _refused(self) -> None:
        """Fails what was settled and has no answer; keeps all of it, oldest first, to be sent again."""
        self._ready = False
        refused = [*self._unanswered, _Unanswered(0, self._frames, self._kept_size, self._settled, self._owed)]
        self._unanswered.clear()
        self._settled = []
        self._frames = [framed for sent in refused for framed in sent.frames]
        self._kept_size = sum(sent.kept_size for sent in refused)
        self._owed = sum(sent.owed + len(sent.settled) for sent in refused)
        self._hoard(sum(map(len, self._frames)))
        for sent in refused:
            for waiter in sent.settled:
                _tell(waiter, durable=False)

    def _keep_unsent(self) -> None:
        """Fails what was settled and is not on its way, so that no refusal of it will come; it is sent later."""
        settled, self._settled = self._settled, []
        self._owed += len(settled)
        self._hoard(sum(map(len, self._frames)))
        for waiter in settled:
            _tell(waiter, durable=False)

    def _wait_no_more(self) -> None:
        """Lets close go on, if it waits."""
        if self._all_answered is not None and not self._all_answered.done():
            self._all_answered.set_result(None)

    def _hoard(self, size: int) -> None:
        """Counts what is kept while the log cannot be written, and gives up rather than run out of memory."""
        self._hoarded_bytes += size
        if self._hoarded_bytes > HOARDED_BYTES_MAX and self._transport is not None:
            _events.error("usage_hoarded_too_long bytes=%s", self._hoarded_bytes)
            self._transport.abort()


async def connect_usage_sink(
    path: str, instance: str, on_lost: Callback, kept: KeepsFrames | None = None, *, kept_is_safe: bool = False
) -> SocketUsageSink:
    """A sink that has been welcomed by the log process at path. Raises: UsageLogUnavailable."""
    loop = asyncio.get_running_loop()
    sink = SocketUsageSink(instance, on_lost, kept, kept_is_safe=kept_is_safe)
    try:
        await loop.create_unix_connection(lambda: sink, path)
        await sink.welcomed
    except OSError as error:
        raise UsageLogUnavailable(f"no log process at {path}: {error.strerror or error}; start it first") from error
    return sink


def _tell(waiter: Settling, *, durable: bool) -> None:
    try:
        if durable:
            waiter.settled()
        else:
            waiter.not_settled()
    except Exception:  # noqa: BLE001 - a bug in the end of one request is not the end of this process
        _events.exception("request_not_ended")


def _nothing() -> None:
    """What happens when a connection ends that was meant to."""
