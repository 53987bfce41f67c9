"""How far open streams have come is in the log once a second, for the case that the gateway is lost."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from entrepot.core.log_records import Admitted, Progressed
from tests.support.gateway import Gateway, eventually, running_gateway
from tests.support.requests import ask, chat, read_until, request_bytes


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def told(record: Progressed) -> dict[str, int]:
    """Output tokens by request."""
    return dict([(record.id, record.output_tokens), *record.others])


def test_one_record_says_how_far_all_open_streams_are(gateway: Gateway) -> None:
    counts = (3, 1, 7)
    expected = {}
    with ExitStack() as open_now:
        for count in counts:
            client = open_now.enter_context(gateway.connect())
            client.sendall(request_bytes(chat(f"hi [[chunks=9 stall={count}]]", stream=True)))
            read_until(client, b"w%d " % count)
            expected[gateway.of(Admitted)[-1].id] = count
        assert gateway.of(Progressed) == []
        gateway.do(gateway.flow.tick)
        [progressed] = gateway.of(Progressed)
        assert told(progressed) == expected
        gateway.do(gateway.flow.tick)
        assert len(gateway.of(Progressed)) == 1, "nothing came in between"


def test_only_what_came_since_is_said(gateway: Gateway) -> None:
    with gateway.connect() as still, gateway.connect() as moving:
        still.sendall(request_bytes(chat("hi [[chunks=9 stall=2]]", stream=True)))
        read_until(still, b"w2 ")
        gateway.do(gateway.flow.tick)
        moving.sendall(request_bytes(chat("hi [[chunks=4000 delay=0.002]]", stream=True)))
        read_until(moving, b"w5 ")
        gateway.do(gateway.flow.tick)
        first, second = (told(record) for record in gateway.of(Progressed))
        one, other = (admitted.id for admitted in gateway.of(Admitted))
        assert first == {one: 2}
        assert second.keys() == {other}
        assert 5 <= second[other] < 4000


def test_a_stream_that_has_ended_says_no_more(gateway: Gateway) -> None:
    assert ask(gateway, chat("hi [[chunks=5]]", stream=True)).events()[-1] == "[DONE]"
    eventually(lambda: not gateway.flow.shared.streams)
    gateway.do(gateway.flow.tick)
    assert gateway.of(Progressed) == []
