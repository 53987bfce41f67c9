"""Appending to the log of a running log process, for callers that can wait: commands and the worker."""

import socket
from collections.abc import Sequence
from pathlib import Path

from entrepot.core.errors import UsageLogUnavailable
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

WAIT_S_MAX = 60.0  # A flush takes milliseconds; a disk that takes this long is as good as gone.
RETRY_AFTER_S = 1

_RECEIVED_BYTES_MAX = 65_536


class SocketEventLog:
    """Appends through a log process's socket; connects again when that was restarted. Meets the port EventLog.

    Raises: UsageLogUnavailable when nothing answers at the path.
    """

    def __init__(self, path: Path, wait_s_max: float = WAIT_S_MAX) -> None:
        self._path = path
        self._wait_s_max = wait_s_max
        self._socket: socket.socket | None = None
        self._messages = MessageReader()
        self._arrived: list[Message] = []
        self._epoch = 0
        self._sequence = 0
        self._connect()

    def append(self, records: Sequence[LogRecord]) -> None:
        if not records:
            return
        frames = [frame(encode_record(record)) for record in records]
        if self._socket is None:
            self._connect()
        self._sequence += 1
        try:
            self._send(batch(self._epoch, self._sequence, frames))
            self._await_ack()
        except (OSError, EOFError) as error:
            self.close()
            raise self._lost(error) from error

    def close(self) -> None:
        """Ends the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        self._messages, self._arrived, self._epoch = MessageReader(), [], 0
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket = connecting
        try:
            connecting.settimeout(self._wait_s_max)
            connecting.connect(str(self._path))
            self._send(hello(""))
            while self._next().kind != STATE:
                pass
        except (OSError, EOFError) as error:
            self.close()
            raise self._lost(error) from error

    def _await_ack(self) -> None:
        """Waits for the word on the last batch. Raises: UsageLogUnavailable with the log process's reason."""
        while True:
            kind, body = self._next()
            if kind == ACK and read_ack(body) == self._sequence:
                return
            if kind == NACK:
                self._epoch, reason = read_nack(body)
                raise UsageLogUnavailable(reason, retry_after_s=RETRY_AFTER_S)
            if kind == STATE:
                read_state(body)  # Comes with a refusal or its end, and changes nothing for a batch on its way.

    def _send(self, message: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(message)

    def _next(self) -> Message:
        assert self._socket is not None
        while not self._arrived:
            received = self._socket.recv(_RECEIVED_BYTES_MAX)
            if not received:
                raise EOFError("it ended the connection")
            self._arrived = self._messages.feed(received)
        return self._arrived.pop(0)

    def _lost(self, error: Exception) -> UsageLogUnavailable:
        reason = getattr(error, "strerror", None) or str(error)
        return UsageLogUnavailable(
            f"no word from the log process at {self._path}: {reason}; once it runs, do the same again:"
            " what was recorded already is not counted twice",
            retry_after_s=RETRY_AFTER_S,
        )
