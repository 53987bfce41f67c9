"""A bug of ours ends the request that meets it, with one answer at most, and nothing else."""

from collections.abc import Iterator

import pytest

from entrepot.core.log_records import Abandoned
from entrepot.edge.inference_call import InferenceCall
from entrepot.identity.tokens import Verifier
from tests.support.gateway import Gateway, running_gateway
from tests.support.requests import ask, chat, read_to_end

GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
ALIVE = b'{"alive":true}'


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


@pytest.mark.parametrize("kept", [False, True])
def test_a_bug_as_a_request_is_sent_ends_it(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    if kept:
        assert ask(gateway, chat("hi")).status == 200
    with monkeypatch.context() as patched:
        patched.setattr("entrepot.dialects.asked.encode", crash)
        reply = ask(gateway, b'{"model":"ch\\u0061t","messages":[]}')
    assert (reply.status, reply.error["code"]) == (500, "internal")
    assert [(one.outcome, one.answered) for one in gateway.of(Abandoned)] == [("upstream_failed", False)]
    assert ask(gateway, chat("hi")).status == 200
    assert gateway.upstream.connections == 1
    assert all(endpoint.in_flight == 0 for endpoint in gateway.flow.ways.fleet.endpoints.values())


def test_a_connection_that_cannot_be_made_for_whatever_reason_leaves_nobody_waiting(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(gateway.loop, "create_connection", crash)
        reply = ask(gateway, chat("hi"))
    assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
    assert ask(gateway, chat("hi")).status == 200


def test_a_bug_before_the_body_is_read_is_told(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Verifier, "verify", crash)
    with gateway.connect() as client:
        client.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\napi-key: ey.a.b\r\nContent-Length: 9\r\n\r\n")
        read = read_to_end(client)
    assert read.startswith(b"HTTP/1.1 500 ")
    assert b"\r\nConnection: close\r\n" in read
    assert ask(gateway, chat("hi")).status == 200


def test_a_bug_behind_an_answer_is_no_second_answer(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    told = gateway.api.desk.ended

    def crash(call: InferenceCall) -> None:
        monkeypatch.undo()
        told(call)
        raise ZeroDivisionError

    monkeypatch.setattr(gateway.api.desk, "ended", crash)
    with gateway.connect() as client:
        client.sendall(GET)
        read = read_to_end(client)
    assert (read.count(b"HTTP/1.1 "), read.count(ALIVE)) == (1, 1)
    assert ask(gateway, chat("hi")).status == 200


def test_a_bug_ends_the_request_and_nothing_else(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("entrepot.dialects.openai.answered", crash)
        reply = ask(gateway, chat("hi"))
    assert (reply.status, reply.error["code"]) == (500, "internal")
    assert gateway.abandoned().outcome == "upstream_failed"
    with monkeypatch.context() as patched:
        patched.setattr("entrepot.dialects.asked._decode_fields", crash)
        reply = ask(gateway, b'{"model":"ch\\u0061t","messages":[]}')
    assert (reply.status, reply.error["code"]) == (500, "internal")
    assert reply.headers["x-request-id"] in reply.error["message"]
    assert ask(gateway, chat("hi")).status == 200
    gateway.errors.clear()
