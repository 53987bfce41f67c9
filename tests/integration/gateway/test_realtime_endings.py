"""Realtime sessions that their upstream ends: what the client still gets, and who answers whose close frame."""

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from entrepot.flows.serve_inference.session import NORMAL
from entrepot.relay.frames import BINARY, close_frame, frame
from entrepot.relay.upgrade import accept_of
from tests.support.gateway import KEY, WAIT_S_MAX, deployment, eventually, target
from tests.support.realtime import Realtime
from tests.support.requests import connect_narrowly, read_to_end, read_until

WS_KEY = base64.b64encode(bytes(16))
UPGRADE = (
    b"GET /v1/realtime?model=talk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
) % (KEY.encode(), WS_KEY)
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
) % accept_of(WS_KEY)


@contextmanager
def session(realtime: Realtime) -> Iterator[tuple[socket.socket, socket.socket]]:
    """(its client, which has little room on its way; its upstream), as bytes; the session has begun."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_S_MAX)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        realtime.gateway.serve(deployment("talk", target(url), operations=("realtime",)))
        with connect_narrowly(realtime.gateway) as client:
            client.sendall(UPGRADE)
            upstream, _ = listener.accept()
            with upstream:
                upstream.settimeout(WAIT_S_MAX)
                read_until(upstream, b"\r\n\r\n")
                upstream.sendall(ACCEPTED)
                assert b" 101 " in read_until(client, b"\r\n\r\n")
                yield client, upstream


def test_a_client_that_answers_its_upstreams_close_frame_gets_no_second_one(realtime: Realtime) -> None:
    said, answered = close_frame(NORMAL, "", masked=False), close_frame(NORMAL, "", masked=True)
    with session(realtime) as (client, upstream):
        upstream.sendall(said)
        assert read_until(client, said) == said
        client.sendall(answered)
        assert read_until(upstream, answered) == answered
        upstream.close()
        assert read_to_end(client) == b""
    realtime.ended()
    assert realtime.gateway.sink.records == []


def test_a_client_that_takes_the_end_slowly_gets_all_of_it(realtime: Realtime) -> None:
    gateway = realtime.gateway
    sound, said = frame(BINARY, b"\0" * 50_000, masked=False), close_frame(NORMAL, "", masked=False)
    with session(realtime) as (client, upstream):
        [held] = gateway.flow.sessions
        upstream.sendall(sound + said)
        eventually(lambda: held._from_upstream.is_closed)
        for _ in range(2):
            gateway.do(lambda: gateway.api.sweep(gateway.loop.time()))
        upstream.close()
        eventually(lambda: not gateway.flow.sessions)
        gateway.do(lambda: gateway.api.sweep(gateway.loop.time()))
        assert read_to_end(client) == sound + said
    realtime.ended()
