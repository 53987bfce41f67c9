"""What is asked for, accepted or said not as it should be: by clients, and by upstreams."""

import base64
import json
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.gateway import (
    KEY,
    deployment,
    target,
)
from tests.support.realtime import Realtime, run, talking
from tests.support.requests import ask, read_to_end, read_until


@pytest.mark.parametrize(
    ("query", "key", "status", "code"),
    [
        ("model=talk", "ek-wrong", 401, "invalid_api_key"),
        ("model=talk", "", 401, "invalid_api_key"),
        ("model=nothing", KEY, 404, "model_not_found"),
        ("model=chat", KEY, 400, "operation_not_supported"),
        ("", KEY, 400, "invalid_request"),
        ("call_id=rtc_1", KEY, 400, "unsupported_value"),
        ("model=talk&intent=transcription", KEY, 400, "unsupported_value"),
    ],
)
def test_what_is_refused_is_refused_before_the_websocket(
    realtime: Realtime, query: str, key: str, status: int, code: str
) -> None:
    async def work() -> None:
        url = realtime.url.partition("?")[0] + f"?{query}"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, additional_headers={"Authorization": f"Bearer {key}"} if key else {}):
                pass
        response = refused.value.response
        assert response.status_code == status
        assert json.loads(response.body or b"")["error"]["code"] == code

    run(work())
    assert realtime.upstream.sessions == {}
    assert realtime.gateway.sink.records == []


@pytest.mark.parametrize(("status", "shown"), [(429, 429), (404, 404), (401, 502), (500, 500)])
def test_an_upstreams_refusal_is_relayed_without_its_address(realtime: Realtime, status: int, shown: int) -> None:
    realtime.upstream.refuse = status

    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(realtime):
                pass
        assert refused.value.response.status_code == shown
        error = json.loads(refused.value.response.body or b"")["error"]
        assert "127.0.0.1" not in error["message"]

    run(work())
    assert realtime.gateway.sink.records == []


def test_an_upstream_that_is_not_there(realtime: Realtime) -> None:
    realtime.gateway.serve(deployment("talk", target("http://127.0.0.1:9/v1"), operations=("realtime",)))

    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(realtime):
                pass
        assert refused.value.response.status_code == 503

    run(work())


def test_without_the_usage_log_no_session_begins(realtime: Realtime) -> None:
    realtime.gateway.sink.available = False

    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(realtime):
                pass
        assert refused.value.response.status_code == 503

    run(work())


def test_a_plain_request_is_told_to_ask_for_a_websocket(realtime: Realtime) -> None:
    reply = ask(realtime.gateway, path="/v1/realtime?model=talk", method="GET")
    assert (reply.status, reply.headers["upgrade"], reply.headers["sec-websocket-version"]) == (426, "websocket", "13")
    assert ask(realtime.gateway, b"{}", path="/v1/realtime?model=talk").status == 405
    azure = ask(realtime.gateway, path="/openai/realtime?deployment=talk", method="GET")
    assert (azure.status, "api-version" in azure.error["message"]) == (400, True)


def upgrade(*lines: str) -> bytes:
    key = base64.b64encode(bytes(16)).decode()
    head = [
        "GET /v1/realtime?model=talk HTTP/1.1", "Host: h", f"Authorization: Bearer {KEY}", "Upgrade: websocket",
        "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *lines, "", "",
    ]  # fmt: skip
    return "\r\n".join(head).encode()


def opened(realtime: Realtime) -> socket.socket:
    connection = realtime.gateway.connect()
    connection.sendall(upgrade())
    assert b" 101 " in read_until(connection, b"session.created")
    return connection


@pytest.mark.parametrize(
    "noise",
    [b"\x81\x01a", b"\xc1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x89\xff" + b"\x7f" * 12],
    ids=["unmasked", "extension", "unknown", "continuation", "long control"],
)
def test_a_client_that_speaks_no_websocket_is_cut_off(realtime: Realtime, noise: bytes) -> None:
    with opened(realtime) as connection:
        connection.sendall(noise)
        assert b"\x88" in read_to_end(connection)
    realtime.ended()
    assert realtime.gateway.sink.records == []


def test_what_comes_before_the_websocket_has_begun_is_kept_for_it(realtime: Realtime) -> None:
    text = b'{"type":"input_audio_buffer.append","audio":"abcd"}'
    with realtime.gateway.connect() as connection:
        connection.sendall(upgrade() + bytes((0x81, 0x80 | len(text))) + bytes(4) + text)
        read_until(connection, b'"bytes": 4')


def test_a_client_that_leaves_before_it_has_begun(realtime: Realtime) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        realtime.gateway.serve(deployment("talk", target(url), operations=("realtime",)))
        with realtime.gateway.connect() as connection:
            connection.sendall(upgrade())
            other, _ = listening.accept()
            asked = read_until(other, b"\r\n\r\n")
            assert asked.startswith(b"GET /v1/realtime?model=upstream-model HTTP/1.1\r\n")
        assert read_to_end(other) == b""
        other.close()
    realtime.ended()
    assert realtime.gateway.sink.records == []


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_an_upstream_that_does_not_accept_as_it_should(realtime: Realtime, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        realtime.gateway.serve(deployment("talk", target(url), operations=("realtime",)))
        with realtime.gateway.connect() as connection:
            connection.sendall(upgrade())
            other, _ = listening.accept()
            with other:
                read_until(other, b"\r\n\r\n")
                other.sendall(said)
                if not said:
                    other.close()
                assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 502 ")
