"""Requests to a gateway as bytes and as plain HTTP, without the habits of any client library."""

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any, Protocol

from entrepot.edge.client_connection import ClientConnection
from tests.support.gateway import KEY, WAIT_S_MAX, Gateway, eventually

AZURE = "/openai/deployments/{}/chat/completions?api-version=2024-10-21"


class Listening(Protocol):
    """Whatever gateway listens on a port of this machine."""

    port: int


@dataclass
class Reply:
    """An answer. headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json()["error"]
        return found

    def events(self) -> list[str]:
        """The data of a stream's events."""
        return [event.removeprefix("data: ") for event in self.body.decode().split("\n\n") if event]


def chat(prompt: str, *, model: str = "chat", **fields: Any) -> bytes:
    """A chat request's body."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], **fields}).encode()


def ask(
    gateway: Listening,
    body: bytes = b"",
    *,
    path: str = "/v1/chat/completions",
    method: str = "",
    headers: dict[str, str] | None = None,
) -> Reply:
    """The answer to a request with the tests' key. A stream that is cut ends the body where it was cut."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=WAIT_S_MAX)
    try:
        fields = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"} if headers is None else headers
        connection.request(method or ("POST" if body else "GET"), path, body or None, fields)
        answer = connection.getresponse()
        try:
            content = answer.read()
        except http.client.IncompleteRead as cut:
            content = cut.partial
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)
    finally:
        connection.close()


def request_bytes(body: bytes, *lines: str, path: str = "/v1/chat/completions") -> bytes:
    """A whole request as it goes over the wire."""
    head = [f"POST {path} HTTP/1.1", "Host: gateway", f"Authorization: Bearer {KEY}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, *lines, "", ""]).encode() + body


def connect(gateway: Listening) -> socket.socket:
    """A connection to a gateway, for bytes that no client would send."""
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=WAIT_S_MAX)


def connect_narrowly(gateway: Gateway) -> socket.socket:
    """A connection that holds a few kilobytes on its way, and no more until it is read from."""
    before = set(gateway.api.connections)
    client = socket.socket()
    client.settimeout(WAIT_S_MAX)
    for side in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        client.setsockopt(socket.SOL_SOCKET, side, 4096)
    client.connect(("127.0.0.1", gateway.port))
    eventually(lambda: set(gateway.api.connections) - before)
    [connection] = set(gateway.api.connections) - before
    assert isinstance(connection, ClientConnection)
    for side in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, side, 4096)
    return client


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """What arrives, up to the first piece that completes the mark. Raises: AssertionError when the connection ends."""
    read = b""
    while mark not in read:
        piece = connection.recv(65536)
        assert piece, f"it ended after {read!r}"
        read += piece
    return read


def read_to_end(connection: socket.socket) -> bytes:
    """All that arrives until the other side ends the connection, in good order or not."""
    read = b""
    try:
        while piece := connection.recv(65536):
            read += piece
    except ConnectionResetError:
        pass
    return read
