"""A client's connection once it is a WebSocket: bytes to its session and back, time limits, and an orderly end."""

import asyncio
from typing import cast

from entrepot.edge.client_connection import Application
from entrepot.flows.serve_inference.session_client import Talk


class SessionConnection(asyncio.Protocol):
    """The protocol of one connection, handed over by a ClientConnection; the outlet of its session."""

    def __init__(self, api: Application, talk: Talk) -> None:
        self._api = api
        self._talk: Talk | None = talk
        self._paused = False
        self._unsent = 0  # What was waiting for the client at the last sweep,
        self._since = 0.0  # and since when that has been as much.
        self._transport: asyncio.Transport
        self.early = b""  # What the client sent before it could know that it may.

    # ---- what the session calls

    def start(self) -> None:
        """Hands the session what had come already."""
        early, self.early = self.early, b""
        if early:
            self.data_received(early)

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        self._transport.write(data)

    def pause_reading(self, paused: bool) -> None:
        """Takes nothing more from the client for now, or does again."""
        if not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def end(self) -> None:
        """Ends the connection once everything is written."""
        self._talk = None
        self._transport.close()

    # ---- what the process calls

    @property
    def is_idle(self) -> bool:
        """Whether the session may be ended."""
        return self._talk is None or self._talk.is_idle

    def close(self) -> None:
        """Tells both sides that this process stops."""
        if self._talk is not None:
            self._talk.go_away()

    def cut(self) -> None:
        """Ends the connection wherever it is, because the process stops."""
        if self._talk is not None:
            self._talk.cut()
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Ends the connection when its client has taken nothing for too long of what waits for it."""
        unsent = self._transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._since = now
        self._unsent = unsent
        if (self._paused or self._talk is None) and now - self._since > self._api.limits.stalled_s:
            self._transport.abort()

    # ---- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._api.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Hands bytes to the session."""
        if self._talk is not None:
            self._talk.sent(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Takes the client for gone."""
        del exc
        self._api.connections.discard(self)
        talk, self._talk = self._talk, None
        if talk is not None:
            talk.client_left()

    def pause_writing(self) -> None:
        """Slows the upstream down to the client."""
        self._paused = True
        if self._talk is not None:
            self._talk.slow(True)

    def resume_writing(self) -> None:
        """Lets the upstream go on."""
        self._paused = False
        if self._talk is not None:
            self._talk.slow(False)
