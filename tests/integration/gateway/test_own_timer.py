"""A gateway process left to its own timer: who is too slow is let go, what changes is taken up, and others go on."""

import select
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from entrepot.core.log_records import AttemptEnded, UsageRecorded
from tests.support.fed_stream import FedUpstream
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.gateway_processes import Installation, said
from tests.support.requests import ask, chat, connect, read_to_end, read_until, request_bytes

GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
DRIPPING = 100


@pytest.fixture
def beside() -> Iterator[Gateway]:
    """A loop for an upstream that a test can look into; its own gateway is not asked."""
    with running_gateway() as running:
        yield running


def test_slow_clients_are_let_go_in_time_and_a_stream_beside_them_is_not(installation: Installation) -> None:
    with FedUpstream() as upstream, ExitStack() as clients:
        installation.publish(
            deployment("chat", target(installation.base_url)), deployment("fed", target(upstream.base_url, "fed"))
        )
        ready = said(installation.start([sys.executable, "tests/support/hasty_gateway.py", "--port", "0"]))
        installation.port = int(ready["url"].rpartition(":")[2])
        fed = clients.enter_context(upstream.stream(installation, "fed"))
        fed.goes_on()
        dripping = [clients.enter_context(beginning(installation, GET[:-2] + b"X: ")) for _ in range(DRIPPING)]
        half = clients.enter_context(beginning(installation, request_bytes(chat("hi"))[:-5]))
        idle = clients.enter_context(beginning(installation, GET))
        assert b"alive" in read_until(idle, b"}")
        silent = clients.enter_context(connect(installation))
        while not select.select(dripping, [], [], 0.02)[0]:
            for client in dripping:
                client.sendall(b"a")
            fed.goes_on()
        assert ask(installation, chat("hi")).status == 200
        for client in (*dripping, half):
            assert read_to_end(client).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        for client in (idle, silent):
            assert read_to_end(client) == b""
        fed.goes_on()
        assert fed.ends().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    meters = {one.event.id: one.event.meters for one in installation.records() if isinstance(one, UsageRecorded)}
    assert meters[fed.id] == fed.meters
    assert len(meters) == 2


def beginning(installation: Installation, said: bytes) -> socket.socket:
    """A connection on which this is said at once: hardly any time passes before it."""
    client = connect(installation)
    client.sendall(said)
    return client


def test_a_key_in_a_file_is_replaced_while_requests_go_on_and_none_is_refused(
    installation: Installation, beside: Gateway, tmp_path: Path
) -> None:
    key, successor = tmp_path / "key", tmp_path / "next"
    key.write_text("sk-the-first")
    at = {"base_url": beside.upstream.base_url, "key_env": str(key)}
    installation.publish(
        deployment("chat", target(upstream="one", **at)), deployment("b", target(upstream="two", **at))
    )
    gateway = installation.start_gateway()
    assert shown(installation, beside) == {"Bearer sk-the-first"}
    successor.write_text("sk-the-second")
    successor.rename(key)
    eventually(lambda: shown(installation, beside) == {"Bearer sk-the-second"})
    beside.upstream.key = "sk-the-second"  # The first is revoked only now.
    assert shown(installation, beside) == {"Bearer sk-the-second"}
    assert [record for record in installation.records() if isinstance(record, AttemptEnded)] == []
    assert gateway.poll() is None


def shown(installation: Installation, beside: Gateway) -> set[str]:
    """The authorization that the two upstreams are shown by one more request each, which they answer."""
    replies = [ask(installation, chat("hi", model=model)) for model in ("chat", "b")]
    assert [reply.status for reply in replies] == [200, 200]
    served = [beside.upstream.served[reply.headers["x-request-id"]] for reply in replies]
    return {head["authorization"] for one in served for head in one.heads}
