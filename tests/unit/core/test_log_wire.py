"""What is said on the log's socket arrives whole, however the stream is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.core import log_wire
from entrepot.core.errors import BadInput
from entrepot.core.log_wire import Message, MessageReader

SAID = [
    (log_wire.HELLO, log_wire.hello("gateway-1")),
    (log_wire.BATCH, log_wire.batch(2, 9, [b"frame", b"frames" * 40])),
    (log_wire.STATE, log_wire.state(False, "no space left")),
    (log_wire.ACK, log_wire.ack(2**40)),
    (log_wire.NACK, log_wire.nack(3, "no space left")),
]


@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_messages_arrive_whole(cuts: list[int]) -> None:
    stream = b"".join(content for _, content in SAID)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = MessageReader()
    heard: list[Message] = []
    for start, end in pairwise(places):
        heard += reader.feed(stream[start:end])
    assert [message.kind for message in heard] == [kind for kind, _ in SAID]
    assert log_wire.read_hello(heard[0].body) == "gateway-1"
    *head, frames = log_wire.read_batch(heard[1].body)
    assert (*head, bytes(frames)) == (2, 9, 2, b"frame" + b"frames" * 40)
    assert log_wire.read_state(heard[2].body) == (False, "no space left")
    assert log_wire.read_ack(heard[3].body) == 2**40
    assert log_wire.read_nack(heard[4].body) == (3, "no space left")


@pytest.mark.parametrize("stream", [b"GET / HTTP/1.1\r\n", b"\xff\xff\xff\xff\x01", b"\x00\x00\x00\x00\x00"])
def test_another_language_is_refused(stream: bytes) -> None:
    with pytest.raises(BadInput, match="one version"):
        MessageReader().feed(stream)


@pytest.mark.parametrize("body", [b"", b"gateway-1", log_wire.hello("")[5:] + b"\xff"])
def test_a_greeting_in_another_language_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput, match="one version"):
        log_wire.read_hello(body)


def test_a_batch_has_a_size_and_records() -> None:
    with pytest.raises(BadInput, match="append at most"):
        log_wire.batch(0, 1, [bytes(log_wire.MESSAGE_BYTES_MAX)])
    for body in (b"short", log_wire.batch(0, 1, [])[5:]):
        with pytest.raises(BadInput, match="without records"):
            log_wire.read_batch(body)
