"""The log process's socket: gateways, the worker and commands append here; what they say is in core.log_wire.

A gateway says which instance it is. When its connection ends, however it does, the instance is declared lost in the
log, so that its open requests are resolved; before that, what it had kept and nobody acknowledged is taken in. The list
of connected instances is on disk before a gateway is welcomed; one that was connected when this process died is
declared lost by the next.
"""

import asyncio
import contextlib
import logging
from typing import cast

from entrepot.core.errors import BadInput
from entrepot.core.log_records import InstanceLost, encode_record
from entrepot.core.log_wire import BATCH, HELLO, Message, MessageReader, ack, nack, read_batch, read_hello, state
from entrepot.core.segments import frame, whole_frames
from entrepot.edge.group_commit import Batch, GroupCommit
from entrepot.ports.clock import Clock
from entrepot.ports.event_log import GroupLog, LeftBehind, LiveInstances

ALIVE_RETRY_S = 0.02  # A gateway ends at once when its connection has; until it has ended it may still write.
GOODBYE_S_MAX = 1.0

_events = logging.getLogger("entrepot.log")


class LogConnection(asyncio.Protocol):
    """One client. Its epoch is the number of refusals it has been told of."""

    def __init__(self, server: "LogServer") -> None:
        self.instance = ""
        self._server = server
        self._messages = MessageReader()
        self._epoch = 0
        self._welcomed = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._messages.feed(data):
                self._take(message)
        except BadInput as error:
            _events.error("log_client_dropped instance=%s reason=%s", self.instance, error)
            self._transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._server.left(self)

    def committed(self, sequence: int) -> None:
        self._send(ack(sequence))

    def refused(self, reason: str) -> None:
        self._epoch += 1
        self._send(nack(self._epoch, reason))

    def welcome(self, refusal: str | None) -> None:
        """Lets the client begin."""
        self._welcomed = True
        self.tell(refusal)

    def tell(self, refusal: str | None) -> None:
        """Tells a welcomed client whether the log can be written."""
        if self._welcomed:
            self._send(state(refusal is None, refusal or ""))

    def pause(self) -> None:
        """Reads no more from the client."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def close(self) -> None:
        """Ends the connection once what was written is sent."""
        self._transport.close()

    def _send(self, message: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(message)

    def _take(self, message: Message) -> None:
        if message.kind == BATCH:
            epoch, sequence, records, frames = read_batch(message.body)
            if epoch == self._epoch:  # Else it was sent before its author heard that everything is refused.
                self._server.commit.submit(Batch(self, sequence, frames, records))
        elif message.kind == HELLO:
            self.instance = read_hello(message.body)
            self._server.greeted(self)
        else:
            raise BadInput(f"a client sent a message of kind {message.kind}, which only the log process sends")


class _Loss:
    """The loss of an instance on its way into the log, behind what it left; tried again for as long as it takes.

    left: frames, up to the first that is not whole: a power cut may have left any part of them.
    """

    def __init__(self, server: "LogServer", lost: InstanceLost, left: bytes) -> None:
        self._server = server
        self.instance = lost.instance
        frames, records = whole_frames(left)
        self.batch = Batch(self, 0, frames + frame(encode_record(lost)), records + 1)

    def committed(self, _sequence: int) -> None:
        self._server.forget(self)

    def refused(self, _reason: str) -> None:
        """Nothing; the server submits it again when the log can be written."""


class LogServer:
    """Serves a log on a Unix socket. Make it in a running event loop."""

    def __init__(self, log: GroupLog, live: LiveInstances, left: LeftBehind, clock: Clock) -> None:
        self.commit = GroupCommit(log, on_change=self._changed)
        self._live = live
        self._left = left
        self._clock = clock
        self._connections: set[LogConnection] = set()
        self._instances: set[str] = set()
        self._alive: dict[str, asyncio.TimerHandle] = {}  # Those that are expected to be gone soon.
        self._losses: list[_Loss] = []
        self._stopping = False
        self._deserted = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self, path: str) -> None:
        """Serves at path, having declared lost what an earlier process left connected. Raises: LogDamaged, OSError."""
        self._instances.update(self._live.load(), self._left.instances())
        for instance in sorted(self._instances):
            self._lose(instance)
        self.commit.start()
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: LogConnection(self), path)

    async def stop(self) -> None:
        """Makes durable and acknowledges what has arrived, then ends the connections and closes the log.

        Instances that are still connected stay on the list: the next process declares them lost.
        """
        self._stopping = True
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.pause()
        self.commit.stop()
        for connection in self._connections:
            connection.close()
        if self._connections:
            with contextlib.suppress(TimeoutError):  # The last words are sent, unless somebody does not listen.
                await asyncio.wait_for(self._deserted.wait(), GOODBYE_S_MAX)

    def joined(self, connection: LogConnection) -> None:
        """A connection was made."""
        self._connections.add(connection)
        self._deserted.clear()

    def greeted(self, connection: LogConnection) -> None:
        """The client has said who it is; it is welcomed once its name is on the list."""
        if not connection.instance:
            connection.welcome(self.commit.refusal)
            return
        self._let_live(connection.instance)
        self._instances.add(connection.instance)
        try:
            self._live.save(self._instances)
        except OSError as error:  # It tries again from the start, and by then the disk may have room.
            _events.error("gateway_turned_away instance=%s reason=%s", connection.instance, error)
            connection.close()
        else:
            connection.welcome(self.commit.refusal)

    def left(self, connection: LogConnection) -> None:
        """A connection ended, with or without a word."""
        self._connections.discard(connection)
        if not self._connections:
            self._deserted.set()
        if connection.instance:
            self._lose(connection.instance)

    def forget(self, loss: _Loss) -> None:
        """Takes an instance off the list: its loss, and what it left, are in the log."""
        self._losses.remove(loss)
        if all(connection.instance != loss.instance for connection in self._connections):  # It may have come back.
            self._instances.discard(loss.instance)
        try:
            self._left.remove(loss.instance)
            self._live.save(self._instances)
        except OSError as error:  # Where it stays it is declared lost once more, which changes nothing.
            _events.error("gateway_instance_not_forgotten instance=%s reason=%s", loss.instance, error)

    def _lose(self, instance: str) -> None:
        """Declares an instance lost as soon as it is gone, so that nothing of it can come behind."""
        self._let_live(instance)
        if self._stopping:
            return
        left = self._left.take(instance)
        if left is None:
            self._look_again(instance)
            return
        _events.info("gateway_instance_lost instance=%s left_bytes=%d", instance, len(left))
        loss = _Loss(self, InstanceLost(instance=instance, at=self._clock.now()), left)
        self._losses.append(loss)
        self.commit.submit(loss.batch)

    def _look_again(self, instance: str) -> None:
        """Comes back to an instance that is not gone yet; unless it connects, for it was only starting."""
        self._alive[instance] = asyncio.get_running_loop().call_later(ALIVE_RETRY_S, self._lose, instance)

    def _let_live(self, instance: str) -> None:
        handle = self._alive.pop(instance, None)
        if handle is not None:
            handle.cancel()

    def _changed(self, refusal: str | None) -> None:
        for connection in self._connections:
            connection.tell(refusal)
        if refusal is None:
            for loss in self._losses:
                self.commit.submit(loss.batch)
