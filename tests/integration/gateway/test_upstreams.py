"""Upstreams that go stale, go away, are slow or speak TLS; and the connections kept to them."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.turns import at_once
from entrepot.core.upstream_rules import Timeouts, UpstreamRules
from entrepot.relay.destination import Origin
from entrepot.relay.upstream import UpstreamLimits
from tests.scripted_upstream import ScriptedUpstream
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, snapshot, target
from tests.support.recording_upstream import recording, whole
from tests.support.requests import ask, chat, connect_narrowly, read_until, request_bytes

NOWHERE = "http://127.0.0.1:1/v1"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def test_connections_are_kept_and_used_again(gateway: Gateway) -> None:
    for stream in (False, True, False, True):
        assert ask(gateway, chat("hi", stream=stream)).status == 200
    assert gateway.upstream.connections == 1


def test_requests_at_the_same_time_have_connections_of_their_own(gateway: Gateway) -> None:
    with gateway.connect() as first, gateway.connect() as second:
        for client in (first, second):
            client.sendall(request_bytes(chat("hi [[stall=1]]", stream=True)))
            read_until(client, b"w1 ")
        assert gateway.upstream.connections == 2


@pytest.mark.parametrize("how", ["close=1", "stale=1"])
def test_a_connection_the_upstream_closed_is_not_used_again(gateway: Gateway, how: str) -> None:
    for _ in range(3):
        assert ask(gateway, chat(f"hi [[{how}]]")).status == 200
    assert gateway.upstream.connections == 3
    assert len(gateway.of(UsageRecorded)) == 3


def test_a_connection_that_goes_stale_just_as_it_is_used_is_replaced_once(gateway: Gateway) -> None:
    assert ask(gateway, chat("hi")).status == 200
    reply = ask(gateway, chat("hi [[once=break]]"))  # Read, and not answered, at the first time.
    assert reply.status == 200
    served = gateway.upstream.served[reply.headers["x-request-id"]]
    assert len(served.heads) == 2
    assert gateway.upstream.connections == 2
    assert len(gateway.of(Admitted)) == 2


def test_a_connection_that_breaks_though_it_is_fresh_is_not_tried_again(gateway: Gateway) -> None:
    reply = ask(gateway, chat("hi [[once=break]]"))
    assert reply.status == 502
    assert gateway.upstream.connections == 1


def test_a_request_that_was_answered_a_byte_is_never_sent_again(gateway: Gateway) -> None:
    assert ask(gateway, chat("hi")).status == 200
    assert ask(gateway, chat("hi [[cut=1]]")).status == 502
    assert [len(served.heads) for served in gateway.upstream.served.values()] == [1, 1]


def test_the_upstream_is_gone_when_a_stale_connection_is_to_be_replaced(gateway: Gateway) -> None:
    assert ask(gateway, chat("hi")).status == 200
    reply = ask(gateway, chat("hi [[once=close]]"))  # Breaks, and listens no more.
    assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
    gateway.sink.records[:2] = []
    assert not gateway.abandoned().answered


def test_idle_connections_are_closed_after_a_while(gateway: Gateway) -> None:
    ask(gateway, chat("hi"))
    gateway.later(gateway.upstream_limits.idle_s - 1)
    ask(gateway, chat("hi"))
    assert gateway.upstream.connections == 1
    gateway.later(gateway.upstream_limits.idle_s + 1)
    ask(gateway, chat("hi"))
    assert gateway.upstream.connections == 2


def test_an_unreachable_upstream_is_passed_over_and_then_ejected(gateway: Gateway) -> None:
    gateway.serve(deployment("chat", target(NOWHERE, "down"), target(gateway.upstream.base_url, "up")))
    assert ask(gateway, chat("hi")).status == 200
    assert gateway.admitted().upstream == gateway.usage().upstream == "up"
    for _ in range(9):  # Every second one meets it first, and five failures eject it.
        assert ask(gateway, chat("hi")).status == 200
    down = gateway.flow.ways.fleet.endpoints["down", NOWHERE]
    eventually(lambda: down.health.state == "open")
    assert (down.in_flight, down.failed) == (0, down.started)


def test_a_name_that_does_not_resolve_is_unreachable(gateway: Gateway) -> None:
    far = target("http://no..such..host/v1", "far")
    gateway.serve(deployment("chat", far, target(gateway.upstream.base_url)))
    assert ask(gateway, chat("hi")).status == 200


def test_a_target_that_cannot_be_used_is_left_out(gateway: Gateway) -> None:
    async def adopt() -> list[str]:
        broken = target("not an address", "broken")
        served = deployment("chat", broken, target(gateway.upstream.base_url))
        return at_once(gateway.flow.adopting(snapshot(served, deployment("alone", broken))))

    [fault] = gateway.run(adopt())
    assert fault == "the upstream broken cannot be used: the base_url 'not an address' is not like https://host/v1"
    assert ask(gateway, chat("hi")).status == 200
    assert ask(gateway, chat("hi", model="alone")).status == 503


def test_a_client_that_leaves_while_its_upstream_is_being_reached(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    reached: asyncio.Future[None] = gateway.loop.create_future()
    connect = gateway.loop.create_connection

    async def slowly(*where: Any, **how: Any) -> Any:
        asked.set()
        await reached
        return await connect(*where, **how)

    monkeypatch.setattr(gateway.loop, "create_connection", slowly)
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi")))
        assert gateway.run(asked.wait())
    eventually(lambda: not gateway.api.connections)
    gateway.do(lambda: reached.set_result(None))
    origin = Origin("127.0.0.1", gateway.upstream.port, tls=False)
    eventually(lambda: gateway.pool.lane(origin)._idle)
    assert gateway.sink.records == []
    assert gateway.upstream.served == {}


def test_a_slow_client_does_not_stop_a_connection_that_serves_others_already(gateway: Gateway) -> None:
    sound = b"\0" * 120_000
    answer = whole(sound).replace(b"application/json", b"audio/mpeg")
    spoken = json.dumps({"model": "speech", "input": "hi"}).encode()
    with recording(gateway, answer, answer) as upstream:
        gateway.serve(deployment("speech", target(upstream.base_url), operations=("speech",)))
        with connect_narrowly(gateway) as slow:
            slow.sendall(request_bytes(spoken, path="/v1/audio/speech"))
            eventually(lambda: gateway.of(UsageRecorded))  # All of it has come, and its client has read none.
            assert ask(gateway, spoken, path="/v1/audio/speech").body == sound
            read_until(slow, sound[:100])


def test_an_upstream_that_speaks_out_of_turn_is_let_go(gateway: Gateway) -> None:
    ask(gateway, chat("hi [[after=noise]]"))
    origin = Origin("127.0.0.1", gateway.upstream.port, tls=False)
    eventually(lambda: not gateway.pool.lane(origin)._idle)
    assert ask(gateway, chat("hi")).status == 200


def test_an_upstream_that_takes_no_connection_is_given_up_after_a_while() -> None:
    """Its queue of connections is full, so that the kernel answers nothing."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        contextlib.ExitStack() as waiting,
        running_gateway(upstream_limits=UpstreamLimits(connect_s=20)) as gateway,
    ):
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        gateway.serve(
            deployment("chat", target(f"http://127.0.0.1:{full.getsockname()[1]}/v1")),
            up=UpstreamRules(timeouts=Timeouts(connect_ms=100)),
        )
        reply = ask(gateway, chat("hi"))
        assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
        assert gateway.sink.records == []


def test_an_upstream_over_tls(gateway: Gateway, tmp_path: Path) -> None:
    server, client = tls_of_the_tests(tmp_path)
    gateway.pool._tls = client
    upstream = ScriptedUpstream()
    gateway.run(upstream.start(tls=server))
    try:
        gateway.serve(deployment("chat", target(upstream.base_url)))
        assert ask(gateway, chat("hi")).status == 200
        assert ask(gateway, chat("hi [[chunks=50]]", stream=True)).events()[-1] == "[DONE]"
        assert upstream.connections == 1
        gateway.pool._tls = ssl.create_default_context()  # Which does not know the authority.
        gateway.later(60)
        assert ask(gateway, chat("hi")).status == 503
    finally:
        gateway.run(upstream.stop())


def tls_of_the_tests(path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(a server's context for 127.0.0.1, a client's that trusts it and nobody else)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))
