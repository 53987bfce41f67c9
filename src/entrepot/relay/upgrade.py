"""An upstream's WebSocket: asked for over HTTP, then bytes both ways as they come.

The client's own key and protocols go to the upstream, so that what it accepts is what the client asked for; extensions
do not, since nothing could be read through them. Source: RFC 6455, sections 4.1 and 4.2.
"""

import asyncio
import base64
import hashlib
from typing import NamedTuple, Protocol, cast

from entrepot.relay.destination import Destination
from entrepot.relay.http1 import AnswerHead, AnswerReader, BrokenAnswer
from entrepot.relay.upstream import Lane, UpstreamConnection

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ANSWER_BYTES_MAX = 2**20
_HEAD_BYTES_MAX = 32 * 1024


class Upgrade(NamedTuple):
    """What a client asks for. key, protocols: its header fields; fields: further header lines for the upstream."""

    key: bytes
    protocols: bytes
    fields: bytes = b""


class Refused(NamedTuple):
    """An upstream's answer that is no WebSocket."""

    head: AnswerHead
    body: bytes


class UpgradeListener(Protocol):
    """Who asked. Hears opened or failed; after opened, any number of received and pause, and at last lost."""

    def opened(self, accept: bytes, protocol: bytes) -> None:
        """The upstream speaks WebSocket from here on: the header fields that say so."""
        ...

    def failed(self, refused: Refused | None, *, reached: bool) -> None:
        """There is no WebSocket: the upstream's answer if there was one that can be read."""
        ...

    def received(self, data: bytes) -> None:
        """Bytes of the upstream's."""
        ...

    def pause(self, paused: bool) -> None:
        """The upstream takes no more for now, or does again."""
        ...

    def lost(self) -> None:
        """The upstream is gone."""
        ...


def accept_of(key: bytes) -> bytes:
    """What a server answers to a key."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - as the protocol says, no secret


class UpstreamSocket(asyncio.Protocol):
    """One upstream's WebSocket; a lane's borrower, then the protocol of the connection that it lent."""

    def __init__(self, listener: UpgradeListener, request: bytes, asked: Upgrade, answer_s_max: float) -> None:
        """answer_s_max: how long the upstream may take to answer."""
        self._listener: UpgradeListener | None = listener
        self._request = request
        self._asked = asked
        self._answer_s_max = answer_s_max
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reader = AnswerReader()
        self._head = b""
        self._body = b""
        self._is_open = False

    def start(self, lane: Lane) -> None:
        """Asks for a connection; everything else follows from it."""
        lane.lend(self, fresh=True)

    def write(self, data: bytes) -> None:
        """Sends bytes of the client's."""
        if self._transport is not None:
            self._transport.write(data)

    def pause_reading(self, paused: bool) -> None:
        """Takes nothing more for now, or does again."""
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def close(self) -> None:
        """Ends the connection once everything is written; the listener hears nothing more."""
        self._let_go()
        if self._transport is not None:
            self._transport.close()

    # ---- what the lane says

    def connected(self, connection: UpstreamConnection) -> None:
        """Takes the connection over, and asks."""
        if self._listener is None:
            connection.put_back(keep=True)
            return
        connection.hand_over(self)
        self._timer = asyncio.get_running_loop().call_later(self._answer_s_max, self._fail)
        self.write(self._request)

    def unreachable(self, reason: str) -> None:
        """Says so; the reason is for operators."""
        del reason
        if self._listener is not None:
            self._listener.failed(None, reached=False)

    # ---- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Reads the answer, then passes bytes on."""
        if self._listener is None:
            return
        if self._is_open:
            self._listener.received(data)
            return
        try:
            self._read_answer(data)
        except BrokenAnswer:
            self._fail()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the listener, who may still have something to say to it."""
        self._transport = None
        listener = self._listener
        if listener is None:
            return
        if self._is_open:
            self._let_go()
            listener.lost()
        elif exc is None and self._reader.end_of_input() and self._reader.head is not None:
            self._refuse(self._reader.head)
        else:
            self._fail()

    def pause_writing(self) -> None:
        """Slows the client down to the upstream."""
        if self._listener is not None:
            self._listener.pause(True)

    def resume_writing(self) -> None:
        """Lets the client go on."""
        if self._listener is not None:
            self._listener.pause(False)

    def _read_answer(self, data: bytes) -> None:
        """Opens, or keeps what is no WebSocket until it is whole."""
        if self._reader.head is None and (b"HTTP/1.1 101"[: len(self._head + data)] == (self._head + data)[:12]):
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end >= 0:
                self._open(self._head[:end], self._head[end + 4 :])
            elif len(self._head) > _HEAD_BYTES_MAX:
                self._fail()
            return
        self._body += self._reader.feed(self._head + data)
        self._head = b""
        if self._reader.complete and self._reader.head is not None:
            self._refuse(self._reader.head)
        elif len(self._body) > _ANSWER_BYTES_MAX:
            self._fail()

    def _open(self, text: bytes, rest: bytes) -> None:
        head = AnswerHead(101, text, keep_alive=True)
        accept = head.field(b"sec-websocket-accept")
        protocol = head.field(b"sec-websocket-protocol")
        is_sound = (
            accept == accept_of(self._asked.key)
            and protocol in {b"", *(offered.strip() for offered in self._asked.protocols.split(b","))}
            and head.field(b"upgrade").lower() == b"websocket"
            and not head.field(b"sec-websocket-extensions")
        )
        if not is_sound or self._listener is None:
            self._fail()
            return
        self._is_open = True
        self._stop_timer()
        self._listener.opened(accept, protocol)
        if rest and self._listener is not None:
            self._listener.received(rest)

    def _refuse(self, head: AnswerHead) -> None:
        listener = self._listener
        self.close()
        if listener is not None:
            listener.failed(Refused(head, self._body), reached=True)

    def _fail(self) -> None:
        listener = self._listener
        self._let_go()
        if self._transport is not None:
            self._transport.abort()
        if listener is not None:
            listener.failed(None, reached=True)

    def _let_go(self) -> None:
        self._listener = None
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def upgrade_request(destination: Destination, target: str, request_id: str, asked: Upgrade) -> bytes:
    """The request for a WebSocket at a destination. Nothing of the client's own head is in it but what asked holds."""
    protocols = b"Sec-WebSocket-Protocol: %b\r\n" % asked.protocols if asked.protocols else b""
    return destination.upgrade(target, request_id) + b"Sec-WebSocket-Key: %b\r\n%b%b\r\n" % (
        asked.key,
        protocols,
        asked.fields,
    )
