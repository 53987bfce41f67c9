"""An upstream that keeps every byte it is sent, and answers each message with bytes that a test has written."""

import asyncio
import contextlib
from collections.abc import Iterator

import h11

from tests.support.gateway import Gateway

PLAIN = (
    b'{"choices":[{"message":{"content":"w1"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)


def whole(body: bytes = PLAIN, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer as it goes over the wire. fields: header lines without their CRLF."""
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join([*lines, b"", body])


class RecordingUpstream:
    """answers: one for each message, in their order; the plain one when there are no more."""

    def __init__(self, *answers: bytes) -> None:
        self.received = b""
        self.base_url = ""
        self._answers = list(answers)
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        whole_before = 0
        unread = b""
        while data := await reader.read(65536):
            self.received += data
            unread += data
            messages = messages_in(unread)
            for _ in messages[whole_before:]:
                writer.write(self._answers.pop(0) if self._answers else whole())
            whole_before = len(messages)
        writer.close()

    @property
    def messages(self) -> list[tuple[str, str, dict[str, str], bytes]]:
        """(method, target, fields, body) of each message received, as a strict parser reads them."""
        return messages_in(self.received)


@contextlib.contextmanager
def recording(gateway: Gateway, *answers: bytes) -> Iterator[RecordingUpstream]:
    """One that serves in the gateway's loop."""
    upstream = RecordingUpstream(*answers)
    gateway.run(upstream.start())
    try:
        yield upstream
    finally:
        gateway.run(upstream.stop())


def messages_in(data: bytes) -> list[tuple[str, str, dict[str, str], bytes]]:
    """The messages in data. Raises: h11.RemoteProtocolError for what is none."""
    found = []
    while data:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        request, body = connection.next_event(), b""
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
        if not isinstance(request, h11.Request) or not isinstance(event, h11.EndOfMessage):
            break
        fields = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        found.append((request.method.decode(), request.target.decode(), fields, body))
        data = connection.trailing_data[0]
    return found
