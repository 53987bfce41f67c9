"""A stream through a gateway whose upstream is the test itself: it goes on when the test says so, and not before."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from tests.support.gateway import WAIT_S_MAX
from tests.support.requests import Listening, chat, connect, read_to_end, read_until, request_bytes

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PROMPT_TOKENS = 2


class FedUpstream:
    """Listens; serves one stream."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT_S_MAX)
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()

    @contextmanager
    def stream(self, gateway: Listening, model: str) -> Iterator["FedStream"]:
        """A stream that has been asked for; its head comes with its first word."""
        with connect(gateway) as client:
            client.sendall(request_bytes(chat("two words", model=model, stream=True), "Connection: close"))
            upstream, _ = self._listener.accept()
            with upstream:
                upstream.settimeout(WAIT_S_MAX)
                asked = read_until(upstream, b"\r\n\r\n")
                yield FedStream(client, upstream, asked)


class FedStream:
    """words: how many it has had, a token each. read: all that its client has got."""

    def __init__(self, client: socket.socket, upstream: socket.socket, asked: bytes) -> None:
        self.client = client
        self._upstream = upstream
        found = re.search(rb"x-request-id: (\S+)", asked, re.IGNORECASE)
        assert found is not None
        self.id = found[1].decode()
        self.words = 0
        self.read = b""

    def goes_on(self) -> None:
        """Another word, which its client has when this returns."""
        if not self.words:
            self._upstream.sendall(HEAD)
        self.words += 1
        self._say({"choices": [{"delta": {"content": f"word-{self.words} "}}]})
        self.read += read_until(self.client, b"word-%d " % self.words)

    def says(self, payloads: list[bytes]) -> None:
        """These chunks, together."""
        self._upstream.sendall(b"".join(chunk(payload) for payload in payloads))

    def ends(self) -> bytes:
        """What its client gets of the end."""
        usage = {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": self.words,
            "total_tokens": PROMPT_TOKENS + self.words,
        }
        self._say({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})
        self._upstream.sendall(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        rest = read_to_end(self.client)
        self.read += rest
        return rest

    @property
    def meters(self) -> dict[str, int]:
        """What it is to be recorded as."""
        return {"input_tokens": PROMPT_TOKENS, "output_tokens": self.words}

    def _say(self, event: dict[str, object]) -> None:
        self._upstream.sendall(chunk(b"data: " + json.dumps(event).encode() + b"\n\n"))


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)
