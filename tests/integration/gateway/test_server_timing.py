"""How long a request was where, for clients that ask; and nothing for those that do not."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from entrepot.core.log_records import UsageRecorded
from entrepot.core.periods import SECOND
from tests.support.fed_stream import HEAD, chunk
from tests.support.gateway import KEY, Gateway, deployment, eventually, running_gateway, target
from tests.support.memory_log import ManualClock
from tests.support.recording_upstream import PLAIN, recording, whole
from tests.support.requests import Reply, ask, chat, read_until

ASKING = {"Authorization": f"Bearer {KEY}", "x-entrepot-timing": "1"}
MS = SECOND // 1000


class Asked:
    """A request that has come as far as its upstream, which is the test itself, and a clock that it moves."""

    def __init__(self, gateway: Gateway, clock: ManualClock, upstream: socket.socket, reply: "Future[Reply]") -> None:
        self.gateway = gateway
        self._clock = clock
        self.upstream = upstream
        self._reply = reply

    def passes(self, ms: int) -> None:
        """Moves the clock, when the gateway has done what it was at."""

        def move() -> None:
            self._clock.at += ms * MS

        self.gateway.do(move)

    def recorded_after(self, ms: int) -> Reply:
        """The answer, once the log has taken so long."""
        eventually(lambda: self.gateway.of(UsageRecorded))
        self.passes(ms)
        self.gateway.do(self.gateway.sink.release)
        return self._reply.result()


@contextmanager
def asked(*, stream: bool) -> Iterator[Asked]:
    """One that the log holds up."""
    clock = ManualClock(1_700_000_000 * SECOND)
    with (
        running_gateway(published=False, clock=clock) as gateway,
        socket.create_server(("127.0.0.1", 0)) as listener,
        ThreadPoolExecutor(1) as client,
    ):
        gateway.sink.hold = True
        gateway.serve(deployment("chat", target(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")))
        reply = client.submit(ask, gateway, chat("hi", stream=stream), headers=ASKING)
        upstream, _ = listener.accept()
        with upstream:
            read_until(upstream, b"\r\n\r\n")
            yield Asked(gateway, clock, upstream, reply)


def told(text: str) -> tuple[dict[str, float], dict[str, str]]:
    """({stage: ms}, {meter: units}) of a server-timing value."""
    durations = {name: float(value) for name, value in re.findall(r"([a-z]+);dur=([0-9.]+)", text)}
    return durations, dict(re.findall(r'([a-z-]+);desc="([0-9]+)"', text))


def test_an_answer_says_where_its_time_went_and_what_it_used() -> None:
    with asked(stream=False) as request:
        request.passes(20)
        request.upstream.sendall(whole())
        reply = request.recorded_after(3)
    durations, meters = told(reply.headers["server-timing"])
    assert list(durations) == ["identity", "route", "connect", "upstream", "log", "total"]
    assert durations == {"identity": 0, "route": 0, "connect": 0, "upstream": 20, "log": 3, "total": 23}
    assert (meters, reply.body) == ({"input-tokens": "1", "output-tokens": "1"}, PLAIN)


def test_a_stream_says_it_twice_at_its_head_and_as_a_comment_before_its_end() -> None:
    usage = b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
    with asked(stream=True) as request:
        request.passes(20)
        request.upstream.sendall(HEAD + chunk(b'data: {"choices":[{"delta":{"content":"w1"}}]}\n\n'))
        eventually(lambda: request.gateway.flow.shared.streams)
        request.passes(30)
        last = b'data: {"choices":[{"delta":{"content":"w2"},"finish_reason":"stop"}],%b}\n\n' % usage
        request.upstream.sendall(chunk(last) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        reply = request.recorded_after(3)
    head, _ = told(reply.headers["server-timing"])
    assert list(head) == ["identity", "route", "connect", "upstream", "total"]
    assert head == {"identity": 0, "route": 0, "connect": 0, "upstream": 20, "total": 20}
    blocks = reply.body.decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    durations, meters = told(blocks[-3].removeprefix(": server-timing: "))
    assert list(durations) == ["identity", "route", "connect", "upstream", "relay", "log", "total"]
    assert durations == head | {"relay": 30, "log": 3, "total": 53}
    assert meters == {"input-tokens": "1", "output-tokens": "2"}
    assert all(json.loads(block.removeprefix("data: ")) for block in blocks[:-3])


def test_in_sound_nothing_is_put() -> None:
    sound = whole(b"\0" * 1000).replace(b"application/json", b"audio/mpeg")
    with running_gateway() as gateway, recording(gateway, sound) as upstream:
        gateway.serve(deployment("speech", target(upstream.base_url), operations=("speech",)))
        reply = ask(gateway, b'{"model":"speech","input":"hi"}', path="/v1/audio/speech", headers=ASKING)
    assert list(told(reply.headers["server-timing"])[0]) == ["identity", "route", "connect", "upstream", "total"]
    assert reply.body == b"\0" * 1000


def test_a_refusal_says_what_there_is() -> None:
    with running_gateway() as gateway:
        reply = ask(gateway, chat("hi", model="none"), headers=ASKING)
    assert list(told(reply.headers["server-timing"])[0]) == ["identity", "total"]


def test_who_does_not_ask_gets_none() -> None:
    with running_gateway() as gateway:
        for stream in (False, True):
            reply = ask(gateway, chat("hi", stream=stream))
            assert "server-timing" not in reply.headers
            assert b"server-timing" not in reply.body
