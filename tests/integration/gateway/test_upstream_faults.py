"""Upstreams that break the rules of HTTP or of event streams: a clear error, no wrong bill, and nobody else notices."""

import asyncio
import gzip
import re
import socket
import struct
from collections.abc import Iterator
from typing import Literal

import pytest

from entrepot.core.log_records import Abandoned, Admitted, UsageRecorded
from entrepot.core.upstream_rules import Timeouts, UpstreamRules
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.recording_upstream import recording, whole
from tests.support.requests import Reply, ask, chat, read_until, request_bytes
from tests.support.usage_rows import row

Then = Literal["close", "reset", "half-close", "hold"]

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"Content-Type: application/json\r\n"
EVENTS = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = b'{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}'
ANSWER = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":%b}' % USAGE
WHOLE = JSON + b"Content-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
WORD = b'data: {"choices":[{"delta":{"content":"w"}}]}\n\n'
LAST = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":%b}\n\n' % USAGE
DONE = b"data: [DONE]\n\n"


def chunked(*events: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)


class RawUpstream:
    """Reads a request whole, then writes what it is given, some bytes at a time, and does what it is told then.

    is_through: has_words, if any, are written.
    """

    def __init__(self, answer: bytes, then: Then, piece: int) -> None:
        self._answer, self._then, self._piece = answer, then, max(1, piece or len(answer))
        self._tasks: set[asyncio.Task[None]] = set()
        self.has_words = bool(answer)
        self.is_through = False
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            for at in range(0, len(self._answer), self._piece):
                writer.write(self._answer[at : at + self._piece])
                await writer.drain()
                await asyncio.sleep(0)
            self.is_through = True
            if self._then == "half-close":
                writer.write_eof()
            if self._then == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            if self._then in {"half-close", "hold"}:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def asked(gateway: Gateway, answer: bytes, then: Then, *, stream: bool, piece: int = 0, silent_for: float = 0) -> Reply:
    """What a client gets of a raw upstream's answer, while another stream goes on beside it and ends well."""
    raw = RawUpstream(answer, then, piece)
    gateway.run(raw.start())
    try:
        gateway.serve(deployment("chat", target(gateway.upstream.base_url)), deployment("raw", target(raw.url, "raw")))
        with gateway.connect() as other:
            other.sendall(request_bytes(chat("hi [[chunks=40 delay=0.005]]", stream=True)))
            read_until(other, b"w1 ")
            if silent_for:
                reply = silent(gateway, stream=stream, seconds=silent_for, raw=raw)
            else:
                reply = ask(gateway, chat("hi", model="raw", stream=stream))
            assert b"w40 " in read_until(other, b"[DONE]\n\n\r\n0\r\n\r\n")
        endpoints = gateway.flow.ways.fleet.endpoints.values()
        eventually(lambda: all(endpoint.in_flight == 0 for endpoint in endpoints))
        return reply
    finally:
        gateway.run(raw.stop())


def silent(gateway: Gateway, *, stream: bool, seconds: float, raw: RawUpstream) -> Reply:
    """The answer when so many seconds pass after the upstream has said what it says."""
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi", model="raw", stream=stream)))
        eventually(lambda: raw.is_through)
        connections = [item for lane in gateway.pool._lanes.values() for item in lane.connections]
        mine = [item for item in connections if f"http://127.0.0.1:{lane_port(item)}/v1" == raw.url]
        eventually(lambda: all(item._reader.has_begun for item in mine) or not raw.has_words)
        now = gateway.loop.time()
        for connection in mine:
            gateway.do(lambda connection=connection: connection.sweep(now, gateway.upstream_limits))  # type: ignore[misc]
            gateway.do(lambda connection=connection: connection.sweep(now + seconds, gateway.upstream_limits))  # type: ignore[misc]
        read = read_until(client, b"upstream_timeout")
    return Reply(int(read[9:12]), {}, read.partition(b"\r\n\r\n")[2])


def lane_port(connection: object) -> int:
    port: int = connection._lane.origin.port  # type: ignore[attr-defined]
    return port


def of_raw(gateway: Gateway) -> tuple[list[Abandoned], list[UsageRecorded]]:
    """What the log holds of the request to the raw upstream."""
    [admitted] = [item for item in gateway.sink.records if getattr(item, "deployment", "") == "raw"]
    name = admitted.id  # type: ignore[union-attr]
    return (
        [item for item in gateway.of(Abandoned) if item.id == name],
        [item for item in gateway.of(UsageRecorded) if item.event.id == name],
    )


BROKEN_HEADS: dict[str, tuple[bytes, Then]] = {
    "nothing, and the end": (b"", "close"),
    "nothing, and a reset": (b"", "reset"),
    "nothing, and half an end": (b"", "half-close"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "hold"),
    "no status": (b"HTTP/1.1 fine\r\nContent-Length: 0\r\n\r\n", "hold"),
    "HTTP/2": (b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n", "hold"),
    "half a head": (JSON + b"Content-Le", "close"),
    "a head without end": (OK + b"X: " + b"x" * 70_000, "hold"),
    "a protocol nobody asked for": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhello", "close"),
    "two lengths": (JSON + b"Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}", "hold"),
    "a length that is none": (JSON + b"Content-Length: -2\r\n\r\n{}", "hold"),
    "a coding nobody knows": (JSON + b"Transfer-Encoding: gzip\r\n\r\n{}", "hold"),
}
BROKEN_BODIES: dict[str, tuple[bytes, Then]] = {
    "too short": (JSON + b"Content-Length: 900\r\n\r\n" + ANSWER, "close"),
    "too short, and a reset": (JSON + b"Content-Length: 900\r\n\r\n" + ANSWER, "reset"),
    "too short, and half an end": (JSON + b"Content-Length: 900\r\n\r\n" + ANSWER, "half-close"),
    "too long": (JSON + b"Content-Length: 20\r\n\r\n" + ANSWER, "hold"),
    "no chunk": (JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", "hold"),
    "a chunk longer than it says": (JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n", "hold"),
    "the last chunk missing": (JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(ANSWER), "close"),
    "no JSON": (JSON + b"Content-Length: 5\r\n\r\nhello", "hold"),
}
FINE: dict[str, tuple[bytes, Then, int]] = {
    "a byte at a time": (WHOLE, "hold", 1),
    "and half an end": (WHOLE, "half-close", 0),
    "and the end": (WHOLE, "close", 0),
    "interim answers before it": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WHOLE, "hold", 0,
    ),
    "until the end of the connection": (JSON + b"\r\n" + ANSWER, "close", 0),
    "in chunks of a byte": (
        JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(*(bytes([byte]) for byte in ANSWER)) + b"0\r\n\r\n",
        "hold", 7,
    ),
}  # fmt: skip
CUT_STREAMS: dict[str, tuple[bytes, Then, int]] = {
    "after its head": (EVENTS, "close", 0),
    "with a reset": (EVENTS + chunked(WORD, WORD), "reset", 2),
    "in an event": (EVENTS + chunked(WORD, WORD[:20]), "close", 1),
    "with half an end": (EVENTS + chunked(WORD), "half-close", 1),
    "in good order, without a finish": (EVENTS + chunked(WORD, WORD) + b"0\r\n\r\n", "hold", 2),
    "by a chunk that is none": (EVENTS + chunked(WORD) + b"xyz\r\n", "hold", 0),  # What comes with it is not looked at.
    "with another answer behind it": (EVENTS + chunked(WORD, LAST, DONE) + b"0\r\n\r\n" + WHOLE, "hold", 0),
}


@pytest.mark.parametrize(("answer", "then"), BROKEN_HEADS.values(), ids=BROKEN_HEADS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_head_that_is_none(gateway: Gateway, answer: bytes, then: Then, stream: bool) -> None:
    reply = asked(gateway, answer, then, stream=stream)
    assert (reply.status, reply.error["code"]) == (502, "upstream_failed")
    [abandoned], usage = of_raw(gateway)
    assert (abandoned.outcome, abandoned.output_tokens, usage) == ("upstream_failed", 0, [])


@pytest.mark.parametrize(("answer", "then"), BROKEN_BODIES.values(), ids=BROKEN_BODIES)
def test_a_body_that_is_not_what_its_head_says(gateway: Gateway, answer: bytes, then: Then) -> None:
    reply = asked(gateway, answer, then, stream=False)
    assert (reply.status, reply.error["code"]) == (502, "upstream_failed")
    [abandoned], usage = of_raw(gateway)
    assert (abandoned.outcome, abandoned.answered, usage) == ("upstream_failed", True, [])


@pytest.mark.parametrize(("answer", "then", "piece"), FINE.values(), ids=FINE)
def test_an_answer_that_is_well_if_unusual(gateway: Gateway, answer: bytes, then: Then, piece: int) -> None:
    reply = asked(gateway, answer, then, stream=False, piece=piece)
    assert (reply.status, reply.body) == (200, ANSWER)
    abandoned, [usage] = of_raw(gateway)
    assert (abandoned, usage.event.meters) == ([], {"input_tokens": 2, "output_tokens": 3})


@pytest.mark.parametrize(("answer", "then", "counted"), CUT_STREAMS.values(), ids=CUT_STREAMS)
def test_a_stream_that_is_cut(gateway: Gateway, answer: bytes, then: Then, counted: int) -> None:
    reply = asked(gateway, answer, then, stream=True)
    assert b'"code":"upstream_failed"' in reply.body
    assert b"[DONE]" not in reply.body
    [abandoned], usage = of_raw(gateway)
    assert (abandoned.outcome, abandoned.answered, usage) == ("upstream_failed", True, [])
    assert abandoned.output_tokens == counted


@pytest.mark.parametrize("piece", [0, 1, 50])
def test_events_that_are_no_json_pass_and_what_is_reported_counts(gateway: Gateway, piece: int) -> None:
    odd = [b"data: {no json\n\n", b": a comment\n\n", b"event: x\ndata: y\n\n", b"data:\n\n", b"nonsense\n\n"]
    reply = asked(gateway, EVENTS + chunked(WORD, *odd, LAST, DONE) + b"0\r\n\r\n", "hold", stream=True, piece=piece)
    for event in (*odd, DONE):
        assert event in reply.body
    abandoned, [usage] = of_raw(gateway)
    assert (abandoned, usage.event.meters) == ([], {"input_tokens": 2, "output_tokens": 3})


@pytest.mark.parametrize(
    ("answer", "stream", "status", "answered"),
    [
        (b"", False, 504, False),
        (JSON[:20], False, 504, True),
        (JSON + b"Content-Length: 900\r\n\r\n{", False, 504, True),
        (EVENTS + chunked(WORD), True, 200, True),
    ],
)
def test_one_that_stalls(gateway: Gateway, answer: bytes, stream: bool, status: int, answered: bool) -> None:
    reply = asked(gateway, answer, "hold", stream=stream, silent_for=gateway.upstream_limits.first_byte_s + 1)
    assert reply.status == status
    assert b"upstream_timeout" in reply.body
    [abandoned], usage = of_raw(gateway)
    assert (abandoned.answered, usage) == (answered, [])


def test_one_that_does_not_take_the_request(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, gateway.connect() as client:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        gateway.serve(deployment("chat", target(gateway.upstream.base_url)), deployment("raw", target(url, "raw")))
        client.sendall(request_bytes(chat("x" * 10_000_000, model="raw")))
        eventually(lambda: gateway.of(Admitted))
        assert ask(gateway, chat("hi")).status == 200
        gateway.later(gateway.upstream_limits.first_byte_s + 1)
        assert read_until(client, b"upstream_timeout").startswith(b"HTTP/1.1 504 ")
    [abandoned], usage = of_raw(gateway)
    assert (abandoned.outcome, abandoned.answered, usage) == ("upstream_failed", False, [])


@row("upstream failed with a good status")
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_with_a_good_status_costs_nothing(gateway: Gateway, stream: bool) -> None:
    error = b'{"error":{"message":"the engine died","code":500}}'
    event = b"data: " + error + b"\n\n"
    answer = EVENTS + chunked(event, DONE) + b"0\r\n\r\n" if stream else whole(error)
    with recording(gateway, answer) as upstream:
        gateway.serve(deployment("chat", target(upstream.base_url)))
        reply = ask(gateway, chat("hi", stream=stream))
    assert (reply.status, reply.body) == (200, event + DONE if stream else error)
    usage = gateway.usage()
    assert (usage.outcome, usage.meters) == ("upstream_failed", {})


@row("upstream failed with a good status")
@pytest.mark.parametrize(
    "error",
    [
        b'data: {"error": {"message": "the engine died", "code": 500}}\n\n',
        b'data: {"error":{"code":502},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}\n\n',
    ],
)
@pytest.mark.parametrize(
    ("told", "raw", "meters"),
    [(b"", b"", {}), (b'data: {"usage":%b}\n\n' % USAGE, USAGE, {"input_tokens": 2, "output_tokens": 3})],
)
def test_an_error_in_the_middle_of_a_stream_costs_what_the_upstream_reported(
    gateway: Gateway, error: bytes, told: bytes, raw: bytes, meters: dict[str, int]
) -> None:
    words = (WORD, WORD.replace(b'"w"', b'"the \\"error\\": none"'))
    answer = EVENTS + chunked(*words, told + error, DONE) + b"0\r\n\r\n"
    reply = asked(gateway, answer, "close", stream=True)
    assert (reply.status, reply.body) == (200, b"".join(words) + error + DONE)
    unknown, usage = of_raw(gateway)
    assert unknown == []
    assert [(one.event.outcome, one.event.meters, one.event.raw) for one in usage] == [("upstream_failed", meters, raw)]


def test_an_error_that_cannot_be_read_is_one_by_its_status(gateway: Gateway) -> None:
    packed = whole(gzip.compress(b'{"error":{"message":"slow down"}}'), b"Content-Encoding: gzip", status=b"429 Slow")
    with recording(gateway, packed) as first, recording(gateway, packed, packed) as second:
        gateway.serve(deployment("chat", target(first.base_url, "first"), target(second.base_url, "second", rank=1)))
        reply = ask(gateway, chat("hi"))
        assert len(second.messages) == 1
    assert (reply.status, reply.error["message"]) == (429, "The upstream answered with the status 429.")
    usage = gateway.usage()
    assert (usage.upstream, usage.outcome, usage.meters) == ("second", "upstream_failed", {})


@pytest.mark.parametrize(
    ("timeouts", "prompt", "mark"),
    [(Timeouts(first_byte_ms=20_000), "hi [[stall=0]]", b""), (Timeouts(silence_ms=20_000), "hi [[stall=2]]", b"w2 ")],
)
def test_how_long_an_upstream_may_be_silent_is_its_own_rule(
    gateway: Gateway, timeouts: Timeouts, prompt: str, mark: bytes
) -> None:
    other = gateway.another_upstream("stall=2")
    gateway.serve(
        deployment("chat", target(gateway.upstream.base_url)),
        deployment("patient", target(other.base_url, "patient")),
        up=UpstreamRules(timeouts=timeouts),
    )
    with gateway.connect() as client, gateway.connect() as beside:
        client.sendall(request_bytes(chat(prompt, stream=True)))
        beside.sendall(request_bytes(chat("hi", model="patient", stream=True)))
        read_until(beside, b"w2 ")
        eventually(lambda: gateway.upstream.served)
        if mark:
            read_until(client, mark)
        gateway.later(19)
        assert gateway.of(Abandoned) == []
        gateway.later(21)
        read_until(client, b"upstream_timeout")
        assert gateway.abandoned().id == next(iter(gateway.upstream.served))
        assert [one.state for one in other.served.values()] == ["running"]


def test_one_that_is_too_slow_in_all_is_given_up_though_it_never_falls_silent(gateway: Gateway) -> None:
    gateway.serve(
        deployment("chat", target(gateway.upstream.base_url)), up=UpstreamRules(timeouts=Timeouts(total_ms=110_000))
    )
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=4000 delay=0.005]]", stream=True)))
        read_until(client, b"w3 ")
        for seconds in (30, 60, 90):
            gateway.later(seconds)
            read_until(client, b"w")
        assert gateway.of(Abandoned) == []
        gateway.later(115)
        read = read_until(client, b"upstream_timeout")
        assert b"[DONE]" not in read
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered) == ("upstream_failed", True)
    assert abandoned.output_tokens >= 3
