"""What an upstream says at a time goes to the client in one write, at once, and content is never parsed for it."""

from typing import Any

import pytest

from tests.support.fed_stream import FedUpstream
from tests.support.gateway import Gateway, deployment, running_gateway, target
from tests.support.requests import read_until

# What only looks like JSON, so that whoever parses it notices; but for its marks it says nothing of an end or of usage.
WORD = b'data: {"choices":[{"delta":{"content":"word-%d \\q\xff"},}]\n\n'


def writes_of(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the one connection to a client is given to send, from now on."""
    [connection] = gateway.api.connections
    written: list[bytes] = []
    send: Any = connection.write  # type: ignore[attr-defined]

    def write(data: bytes) -> None:
        written.append(bytes(data))
        send(data)

    monkeypatch.setattr(connection, "write", write)
    return written


@pytest.mark.parametrize("at_a_time", [1, 2, 7])
def test_one_write_for_what_one_read_brought(monkeypatch: pytest.MonkeyPatch, at_a_time: int) -> None:
    with running_gateway() as gateway, FedUpstream() as upstream:
        gateway.serve(deployment("fed", target(upstream.base_url, "fed")))
        with upstream.stream(gateway, "fed") as stream:
            written = writes_of(gateway, monkeypatch)
            stream.goes_on()
            written.clear()
            for turn in range(20):
                words = [WORD % number for number in range(turn * at_a_time, (turn + 1) * at_a_time)]
                stream.says(words)
                stream.read += read_until(stream.client, words[-1])
                assert len(written) == turn + 1
            assert all(WORD % number in stream.read for number in range(20 * at_a_time))
            assert stream.ends().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert gateway.usage().meters == stream.meters
