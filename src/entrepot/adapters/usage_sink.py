"""Appending to the log of a running log process from a gateway's event loop, without waiting.

What is appended or settled during one turn of the loop leaves as one batch in one write. Callbacks run in the loop,
never inside append or settle.

While the log cannot be written, settled records fail and stay failed; appended ones are kept and sent again, in order,
before anything newer. When the connection ends the gateway is to end, too (crash-only): the log process declares the
instance lost, and what was open is resolved from the log. What was not acknowledged by then is in `kept`, from before
it was sent.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast

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
from entrepot.ports.event_log import KeepsFrames

HOARDED_BYTES_MAX = 32 * 2**20  # Half of what one batch may hold; hours of an unwritable disk on a busy gateway.

_events = logging.getLogger("entrepot.gateway")

Callback = Callable[[], None]


class _Sent(NamedTuple):
    """A batch without an answer yet. size: bytes of its frames that are kept. appended: to send again if refused."""

    sequence: int
    size: int
    appended: list[bytes]
    settled: list[tuple[Callback, Callback]]


class SocketUsageSink(asyncio.Protocol):
    """A connection to the log process. Meets the port UsageSink. on_lost: called once when the connection breaks."""

    def __init__(self, instance: str, on_lost: Callback, kept: KeepsFrames | None = None) -> None:
        self._instance = instance
        self._kept = kept
        self._kept_size = 0  # Of the frames not sent yet.
        self._has_room = True
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._messages = MessageReader()
        self._frames: list[bytes] = []
        self._appended: list[bytes] = []
        self._settled: list[tuple[Callback, Callback]] = []
        self._send_planned = False
        self._sent: deque[_Sent] = deque()
        self._epoch = 0
        self._sequence = 0
        self._ready = False
        self._writable = True
        self._hoarded_bytes = 0
        self._quiet: asyncio.Event = asyncio.Event()
        self._quiet.set()

    @property
    def available(self) -> bool:
        return self._ready and self._writable and self._has_room

    def append(self, record: LogRecord) -> None:
        framed = self._frame(record)
        self._appended.append(framed)
        if not self._ready:
            self._hoard(len(framed))
        elif not self._send_planned:
            self._plan_send()

    def settle(self, record: LogRecord, done: Callback, failed: Callback) -> None:
        if not self._ready:
            self._loop.call_soon(failed)
            return
        self._frame(record)
        self._settled.append((done, failed))
        if not self._send_planned:
            self._plan_send()

    async def close(self) -> None:
        """Ends the connection once everything has been answered; on_lost is not called."""
        await self._quiet.wait()
        self._on_lost = _nothing
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
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
        self._ready = False
        self._fail_settled()
        self._quiet.set()
        if not self.welcomed.done():
            self.welcomed.set_exception(
                UsageLogUnavailable("the log process ended the connection; see its own messages")
            )
        self._on_lost()

    def _frame(self, record: LogRecord) -> bytes:
        framed = frame(encode_record(record))
        self._frames.append(framed)
        if self._kept is not None:
            self._has_room = self._kept.add(framed)
            if self._has_room:
                self._kept_size += len(framed)
        return framed

    def _drop(self, size: int) -> None:
        if self._kept is not None and size:
            self._kept.drop(size)
            self._has_room = True

    def _plan_send(self) -> None:
        self._send_planned = True
        self._quiet.clear()
        self._loop.call_soon(self._send)

    def _send(self) -> None:
        """One batch of everything since the last one; nothing while the log cannot be written."""
        self._send_planned = False
        if not self._ready or not self._frames or self._transport is None:
            self._note_quiet()
            return
        self._sequence += 1
        self._transport.write(batch(self._epoch, self._sequence, self._frames))
        self._sent.append(_Sent(self._sequence, self._kept_size, self._appended, self._settled))
        self._frames, self._appended, self._settled, self._kept_size = [], [], [], 0

    def _take(self, message: Message) -> None:
        if message.kind == ACK:
            self._acknowledged(read_ack(message.body))
        elif message.kind == NACK:
            self._epoch, reason = read_nack(message.body)
            _events.error("usage_refused reason=%s", reason)
            self._fail_settled()
        elif message.kind == STATE:
            self._ready, reason = read_state(message.body)
            self._hoarded_bytes = 0
            if self._ready:
                self._plan_send()
            else:
                _events.error("usage_log_unavailable reason=%s", reason)
            if not self.welcomed.done():
                self.welcomed.set_result(None)

    def _acknowledged(self, sequence: int) -> None:
        while self._sent and self._sent[0].sequence <= sequence:
            sent = self._sent.popleft()
            self._drop(sent.size)
            for done, _ in sent.settled:
                done()
        self._note_quiet()

    def _fail_settled(self) -> None:
        """Fails what was settled and has no answer; keeps what was appended, oldest first, to be sent again."""
        self._ready = False
        refused = [*self._sent, _Sent(0, self._kept_size, self._appended, self._settled)]
        self._sent.clear()
        self._settled = []
        self._appended = [framed for sent in refused for framed in sent.appended]
        self._frames = list(self._appended)
        self._kept_size = sum(sent.size for sent in refused)
        self._hoard(sum(map(len, self._frames)))
        for sent in refused:
            for _, failed in sent.settled:
                failed()

    def _hoard(self, size: int) -> None:
        """Counts what is kept while the log cannot be written, and gives up rather than run out of memory."""
        if size:
            self._quiet.clear()
        self._hoarded_bytes += size
        if self._hoarded_bytes > HOARDED_BYTES_MAX and self._transport is not None:
            _events.error("usage_hoarded_too_long bytes=%s", self._hoarded_bytes)
            self._transport.abort()

    def _note_quiet(self) -> None:
        if not self._sent and not self._frames:
            self._quiet.set()


async def connect_usage_sink(
    path: str, instance: str, on_lost: Callback, kept: KeepsFrames | None = None
) -> SocketUsageSink:
    """A sink that has been welcomed by the log process at path. Raises: UsageLogUnavailable."""
    loop = asyncio.get_running_loop()
    try:
        _, sink = await loop.create_unix_connection(lambda: SocketUsageSink(instance, on_lost, kept), path)
        await sink.welcomed
    except OSError as error:
        raise UsageLogUnavailable(f"no log process at {path}: {error.strerror or error}; start it first") from error
    return sink


def _nothing() -> None:
    """What happens when a connection ends that was meant to."""
