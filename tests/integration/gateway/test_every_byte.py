"""A client that goes at any byte of its answer: what is recorded is what the rules say of how far the answer had come.

The upstream says no more than what the client is to read, and stops there, so that gateway and client are at the same
byte when the client leaves. Beside them goes another stream, which gets its next word whenever one of them has left.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from entrepot.core.log_records import Abandoned, Admitted, UsageRecorded
from tests.support.fed_stream import FedStream, FedUpstream, chunk
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import chat, read_to_end, request_bytes

CHUNKS = 3
METERS = {"input_tokens": 1, "output_tokens": CHUNKS}


class Stage(NamedTuple):
    """How far an answer has come: the script that stops its upstream there, and what is recorded of who leaves then.

    events: of the stream that have been relayed. counted: tokens, where the request is given up; None where it is not.
    """

    script: str
    events: int
    counted: int | None
    outcome: str


STAGES = [
    *(Stage(f"stall={number}", 1 + number, number, "client_left") for number in range(1, CHUNKS + 1)),
    Stage("pause=usage", 1 + CHUNKS + 2, None, "client_left"),
    Stage("", 1 + CHUNKS + 3, None, "stop"),
]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


@contextmanager
def another_stream(gateway: Gateway) -> Iterator[FedStream]:
    """A stream beside, which at last ends whole and is recorded as what it was."""
    with FedUpstream() as upstream:
        gateway.serve(
            deployment("chat", target(gateway.upstream.base_url)), deployment("fed", target(upstream.base_url, "fed"))
        )
        with upstream.stream(gateway, "fed") as other:
            yield other
            gateway.sink.records.clear()
            assert other.ends().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert gateway.usage().meters == other.meters


def test_a_client_that_leaves_at_any_byte_of_a_stream(gateway: Gateway) -> None:
    sizes = sizes_of_stages(gateway)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 900
    with another_stream(gateway) as other:
        for read in range(1, sizes[-1] + 1):
            stage = STAGES[bisect_left(sizes, read)]  # The first that lets so many bytes come.
            leave_at(gateway, stage.script, read)
            assert recorded(gateway) == expected(stage), f"at byte {read}, {stage}"
            other.goes_on()
    assert other.words == sizes[-1]
    print(f"a client left at each of {sizes[-1]} bytes")


def test_a_client_that_leaves_before_any_byte_has_come(gateway: Gateway) -> None:
    gateway.sink.records.clear()
    gateway.upstream.served.clear()
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[stall=0]]", stream=True)))
        eventually(lambda: gateway.upstream.served)
    assert recorded(gateway) == ("abandoned", "client_left", False, 0)


def test_a_client_that_leaves_at_any_byte_of_a_whole_answer(gateway: Gateway) -> None:
    """Its usage is on disk before the first byte leaves."""
    sent = request_bytes(chat(f"hi [[chunks={CHUNKS}]]"), "Connection: close")
    with gateway.connect() as client:
        client.sendall(sent)
        whole = read_to_end(client)
    size = len(as_if_quick(whole))
    with another_stream(gateway) as other:
        for read in range(1, size + 1):
            gateway.sink.records.clear()
            with gateway.connect() as client:
                client.sendall(sent)
                read_exactly(client.recv, read)
            assert recorded(gateway) == ("recorded", "stop", METERS), f"at byte {read}"
            other.goes_on()
    print(f"a client left at each of {size} bytes")


def sizes_of_stages(gateway: Gateway) -> list[int]:
    """How many bytes of an answer come in each stage at least: its head, its events in one chunk, at last its end."""
    head = as_if_quick(whole_stream(gateway, "HTTP/1.1")).index(b"\r\n\r\n") + 4
    old = whole_stream(gateway, "HTTP/1.0")
    events = old[old.index(b"\r\n\r\n") + 4 :].split(b"\n\n")[:-1]
    assert len(events) == STAGES[-1].events
    sizes = [head + len(one_chunk(events[: stage.events])) for stage in STAGES[:-1]]
    return [*sizes, sizes[-1] + len(one_chunk(events[-1:])) + len(b"0\r\n\r\n")]


def as_if_quick(answer: bytes) -> bytes:
    """An answer as it goes over the wire when it took less than ten milliseconds, as another one may."""
    return re.sub(rb"(openai-processing-ms: \d)\d*", rb"\1", answer)


def one_chunk(events: list[bytes]) -> bytes:
    return chunk(b"".join(event + b"\n\n" for event in events))


def whole_stream(gateway: Gateway, version: str) -> bytes:
    """A whole answer as it goes over the wire."""
    body = chat(f"hi [[chunks={CHUNKS}]]", stream=True, stream_options={"include_usage": True})
    with gateway.connect() as client:
        client.sendall(request_bytes(body, "Connection: close").replace(b"HTTP/1.1", version.encode()))
        return read_to_end(client)


def leave_at(gateway: Gateway, script: str, read: int) -> None:
    """A client that reads so many bytes and is gone."""
    gateway.sink.records.clear()
    gateway.upstream.served.clear()
    body = chat(f"hi [[chunks={CHUNKS} {script}]]", stream=True, stream_options={"include_usage": True})
    with gateway.connect() as client:
        client.sendall(request_bytes(body, "Connection: close"))
        read_exactly(client.recv, read)


def read_exactly(receive: object, size: int) -> None:
    """Takes so many bytes, and not one more."""
    assert callable(receive)
    while size:
        piece = receive(size)
        assert piece
        size -= len(piece)


def recorded(gateway: Gateway) -> tuple[object, ...]:
    """What the log holds of the one request, besides its admission, once it is there."""
    eventually(lambda: gateway.of(UsageRecorded) or gateway.of(Abandoned))
    [admitted, last] = gateway.sink.records
    assert isinstance(admitted, Admitted)
    if isinstance(last, Abandoned):
        return "abandoned", last.outcome, last.answered, last.output_tokens
    assert isinstance(last, UsageRecorded)
    assert last.event.source == "reported"
    return "recorded", last.event.outcome, last.event.meters


def expected(stage: Stage) -> tuple[object, ...]:
    """The row of docs/operations/usage-rules.md."""
    if stage.counted is not None:
        return "abandoned", stage.outcome, True, stage.counted
    return "recorded", stage.outcome, METERS
