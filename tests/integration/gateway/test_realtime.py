"""Realtime sessions: an unmodified client, a gateway and a scripted upstream, and what the log holds of them."""

import asyncio
import base64
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import msgspec
import openai
import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entrepot.core.log_records import Abandoned, Admitted, UsageRecorded
from entrepot.core.upstream_rules import UpstreamRules
from entrepot.core.usage_event import UsageEvent
from tests.support.gateway import (
    KEY,
    UPSTREAM_KEY,
    Gateway,
    deployment,
    eventually,
    running_gateway,
    snapshot,
    target,
)
from tests.support.realtime_upstream import RealtimeUpstream
from tests.support.requests import ask, read_to_end, read_until

METERS = {"audio_input_tokens": 50, "audio_output_tokens": 3, "input_tokens": 100, "output_tokens": 3}


class Realtime:
    """A gateway with a realtime upstream beside it, in the same loop."""

    def __init__(self, gateway: Gateway, upstream: RealtimeUpstream) -> None:
        self.gateway = gateway
        self.upstream = upstream

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}/v1/realtime?model=talk"

    def events(self, count: int) -> list[UsageEvent]:
        """The usage events, waited for until there are so many."""
        eventually(lambda: len(self.gateway.of(UsageRecorded)) >= count)
        found = [record.event for record in self.gateway.of(UsageRecorded)]
        assert len(found) == count
        return found

    def ended(self) -> None:
        """Returns once no session is open."""
        eventually(lambda: not self.gateway.flow.sessions and not self.gateway.api.connections)


@pytest.fixture
def realtime() -> Iterator[Realtime]:
    with running_gateway(published=False) as gateway:
        upstream = RealtimeUpstream()
        gateway.run(upstream.start())
        gateway.serve(
            deployment("talk", target(upstream.base_url), operations=("realtime",)),
            deployment("chat", target(gateway.upstream.base_url)),
        )
        yield Realtime(gateway, upstream)
        for connection in list(gateway.api.connections):
            gateway.do(connection.cut)
        gateway.run(upstream.stop())


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def talking(realtime: Realtime, **headers: str) -> AsyncIterator[ClientConnection]:
    """A plain WebSocket whose session has begun."""
    fields = headers or {"Authorization": f"Bearer {KEY}"}
    # Without a bound of its own: this library cannot close while it does not read.
    async with connect(realtime.url, additional_headers=fields, max_queue=None) as connection:
        assert json.loads(await connection.recv())["type"] == "session.created"
        yield connection


async def answer(connection: ClientConnection, script: str = "") -> list[dict[str, Any]]:
    """The events of one response, asked for with this script."""
    await create(connection, script)
    events = []
    async for message in connection:
        events.append(json.loads(message))
        if events[-1]["type"] == "response.done":
            break
    return events


async def until_the_end(connection: ClientConnection) -> None:
    """Reads on; no response ends. Raises: ConnectionClosed."""
    while True:
        assert json.loads(await connection.recv())["type"] != "response.done"


async def create(connection: ClientConnection, script: str) -> None:
    await connection.send(json.dumps({"type": "response.create", "response": {"instructions": script}}))


async def use(connection: AsyncRealtimeConnection) -> list[Any]:
    await connection.response.create(response={"instructions": "parts=3"})
    events = []
    async for event in connection:
        events.append(event)
        if event.type == "response.done":
            break
    return events


def test_the_client_library_talks_through_it(realtime: Realtime) -> None:
    async def work() -> None:
        async with (
            openai.AsyncOpenAI(base_url=f"{realtime.gateway.url}/v1", api_key=KEY) as client,
            client.realtime.connect(model="talk") as connection,
        ):
            for _ in range(2):
                events = await use(connection)
                assert events[-1].response.usage.total_tokens == 156

    run(work())
    first, second = realtime.events(2)
    [(session, held)] = realtime.upstream.sessions.items()
    assert (first.id, second.id) == (f"{session}.1", f"{session}.2")
    assert first.meters == second.meters == METERS
    assert (first.outcome, first.source, first.tier, first.upstream, first.key) == (
        "stop", "reported", "default", "up", "key-1",
    )  # fmt: skip
    assert (first.customer, first.project, first.deployment, first.model) == (
        "acme", "search", "talk", "model-of-talk",
    )  # fmt: skip
    assert json.loads(first.raw) == held.done[0]
    assert [record.id for record in realtime.gateway.of(Admitted)] == [first.id, second.id]
    assert held.path == "/v1/realtime?model=upstream-model"
    assert held.headers["Authorization"] == f"Bearer {UPSTREAM_KEY}"
    realtime.ended()
    assert held.closed == 1000


def test_azures_client_library_does(realtime: Realtime) -> None:
    async def work() -> None:
        async with (
            openai.AsyncAzureOpenAI(
                azure_endpoint=realtime.gateway.url,
                websocket_base_url=f"ws://127.0.0.1:{realtime.gateway.port}/openai",
                api_key=KEY,
                api_version="2024-10-01-preview",
            ) as client,
            client.realtime.connect(model="talk") as connection,
        ):
            await use(connection)

    run(work())
    assert realtime.events(1)[0].meters == METERS


def test_a_browser_puts_its_key_among_the_protocols(realtime: Realtime) -> None:
    async def work() -> None:
        protocols: Any = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"]
        async with connect(realtime.url, subprotocols=protocols, compression="deflate") as connection:
            assert connection.subprotocol == "realtime"
            await connection.recv()
            await answer(connection)

    run(work())
    realtime.events(1)
    [held] = realtime.upstream.sessions.values()
    assert held.headers["Sec-WebSocket-Protocol"] == "realtime, openai-beta.realtime-v1"
    assert "Sec-WebSocket-Extensions" not in held.headers
    assert KEY not in str(held.headers)


def test_the_form_of_the_events_is_passed_on_and_nothing_else(realtime: Realtime) -> None:
    async def work() -> None:
        fields = {"api-key": KEY, "OpenAI-Beta": "realtime=v1", "Cookie": "a=b", "X-Other": "c"}
        async with talking(realtime, **fields):
            pass

    run(work())
    [held] = realtime.upstream.sessions.values()
    assert held.headers["OpenAI-Beta"] == "realtime=v1"
    assert not {"Cookie", "X-Other", "api-key"} & set(held.headers)


def test_parts_are_metered_by_medium_and_what_was_cached(realtime: Realtime) -> None:
    async def work() -> None:
        async with talking(realtime) as connection:
            await answer(connection, "cached=30")

    run(work())
    assert realtime.events(1)[0].meters == {
        "audio_cached_input_tokens": 15, "audio_input_tokens": 35, "audio_output_tokens": 3,
        "cached_input_tokens": 15, "input_tokens": 85, "output_tokens": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("script", "outcome", "meters", "source"),
    [
        ("status=incomplete", "length", METERS, "reported"),
        ("status=cancelled", "stop", METERS, "reported"),
        ("status=failed", "upstream_failed", METERS, "reported"),
        ("status=failed usage=no", "upstream_failed", {}, "reported"),
        ("usage=no", "stop", {"output_tokens": 3}, "counted"),
        ("usage=bad", "stop", {}, "reported"),
        ("pieces=1", "stop", METERS, "reported"),
        ("parts=2 size=300000", "stop", {**METERS, "audio_output_tokens": 2, "output_tokens": 2}, "reported"),
        ("parts=2 size=70000 pieces=1", "stop", {**METERS, "audio_output_tokens": 2, "output_tokens": 2}, "reported"),
    ],
)
def test_how_a_response_ends(
    realtime: Realtime, script: str, outcome: str, meters: dict[str, int], source: str
) -> None:
    async def work() -> None:
        async with talking(realtime) as connection:
            events = await answer(connection, script)
            assert events[-1]["type"] == "response.done"
            assert len([event for event in events if event["type"].endswith(".delta")]) == int(script[6:7] or 3)

    if "parts" not in script:
        script = f"parts=3 {script}"
    run(work())
    [event] = realtime.events(1)
    assert (event.outcome, event.meters, event.source) == (outcome, meters, source)
    assert bool(event.raw) == ("usage=no" not in script)
    assert realtime.gateway.of(Abandoned) == []


def test_transcribing_is_another_models_work_and_is_recorded_as_that(realtime: Realtime) -> None:
    async def work() -> None:
        async with talking(realtime) as connection:
            await answer(connection, "hear=7")

    run(work())
    heard, said = realtime.events(2)
    assert (heard.deployment, heard.model) == ("talk/transcription", "model-of-talk/transcription")
    assert heard.meters == {"audio_input_tokens": 7, "output_tokens": 2}
    assert said.meters == METERS


def test_nothing_of_a_responses_end_leaves_before_its_usage_is_durable(realtime: Realtime) -> None:
    gateway = realtime.gateway

    async def work() -> None:
        async with talking(realtime) as connection:
            gateway.sink.hold = True
            await create(connection, "parts=2")
            kinds = [json.loads(await connection.recv())["type"] for _ in range(3)]
            assert kinds == ["response.created", *["response.output_audio.delta"] * 2]
            await asyncio.to_thread(realtime.events, 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.05)
            # The other way nothing waits.
            await connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": "abc"}))
            [held] = realtime.upstream.sessions.values()
            await asyncio.to_thread(eventually, lambda: len(held.said) == 2)
            await asyncio.to_thread(gateway.do, gateway.sink.release)
            assert json.loads(await connection.recv())["type"] == "response.done"
            assert json.loads(await connection.recv()) == {"type": "heard", "bytes": 3}

    run(work())


def test_where_the_log_fails_the_session_ends_and_the_usage_is_owed(realtime: Realtime) -> None:
    async def work() -> None:
        async with talking(realtime) as connection:
            realtime.gateway.sink.failing = True
            await create(connection, "parts=1")
            with pytest.raises(ConnectionClosed) as closed:
                await until_the_end(connection)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011
            assert "Usage cannot be recorded" in closed.value.rcvd.reason

    run(work())
    assert realtime.gateway.flow.usage.owed == 1
    realtime.gateway.do(realtime.gateway.sink.recover)
    assert realtime.events(1)[0].meters["output_tokens"] == 1


def test_what_both_say_is_relayed_as_it_came(realtime: Realtime) -> None:
    sizes = [0, 1, 124, 125, 126, 65_535, 65_536, 900_000]

    async def work() -> None:
        async with talking(realtime) as connection:
            for size in sizes:
                await connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": "a" * size}))
                assert json.loads(await connection.recv()) == {"type": "heard", "bytes": size}
            pong = await connection.ping(b"there?")
            await pong
            text = json.dumps({"type": "input_audio_buffer.append", "audio": "abc"})
            await connection.send(text[at : at + 5] for at in range(0, len(text), 5))
            assert json.loads(await connection.recv()) == {"type": "heard", "bytes": 3}

    run(work())
    assert realtime.gateway.sink.records == []


# ---- cut short


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_client_that_leaves_in_a_response_pays_for_what_the_upstream_counted(realtime: Realtime, how: str) -> None:
    async def work() -> None:
        async with talking(realtime) as connection:
            await create(connection, "parts=50 stall=4")
            for _ in range(5):
                await connection.recv()
            if how == "abort":
                connection.transport.abort()

    run(work())
    [event] = realtime.events(1)
    [held] = realtime.upstream.sessions.values()
    assert held.said[1] == {"type": "response.cancel", "response_id": "resp_0"}
    assert (event.outcome, event.source) == ("client_left", "reported")
    assert json.loads(event.raw) == held.done[0]
    assert event.meters["output_tokens"] == 4
    realtime.ended()
    assert realtime.gateway.of(Abandoned) == []


def test_an_upstream_whose_rule_is_no_bill_charges_nothing_then(realtime: Realtime) -> None:
    free = {"up": UpstreamRules(on_client_abort="no_bill")}
    talk = deployment("talk", target(realtime.upstream.base_url), operations=("realtime",))
    realtime.gateway.adopt(msgspec.structs.replace(snapshot(talk), upstreams=free))

    async def work() -> None:
        async with talking(realtime) as connection:
            await answer(connection)
            await create(connection, "parts=50 stall=4")
            for _ in range(5):
                await connection.recv()

    run(work())
    whole, cut = realtime.events(2)
    assert whole.meters == METERS
    assert (cut.outcome, cut.source, cut.meters, cut.raw) == ("client_left", "reported", {}, b"")


def test_a_session_counts_at_its_upstream_until_it_ends(realtime: Realtime) -> None:
    narrow = {"up": UpstreamRules(max_concurrent=1)}
    talk = deployment("talk", target(realtime.upstream.base_url), operations=("realtime",))
    realtime.gateway.adopt(msgspec.structs.replace(snapshot(talk), upstreams=narrow))

    async def work() -> None:
        async with talking(realtime):
            with pytest.raises(InvalidStatus) as refused:
                async with talking(realtime):
                    pass
            assert refused.value.response.status_code in {429, 503}

    run(work())
    realtime.ended()
    run(work())


def test_where_the_upstream_does_not_say_the_rest_is_resolved(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrepot.flows.serve_inference.session.CANCELLED_S_MAX", 0.05)

    async def work() -> None:
        async with talking(realtime) as connection:
            await create(connection, "parts=50 stall=4 mute=1")
            for _ in range(5):
                await connection.recv()

    run(work())
    abandoned = realtime.gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("client_left", True, 4)
    assert abandoned.id == realtime.gateway.admitted().id
    realtime.ended()


def test_an_upstream_that_breaks_in_a_response(realtime: Realtime) -> None:
    async def work() -> None:
        async with talking(realtime) as connection:
            await answer(connection, "parts=1")
            await create(connection, "parts=9 gone=3")
            with pytest.raises(ConnectionClosed) as closed:
                await until_the_end(connection)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "the upstream is gone")

    run(work())
    [event] = realtime.events(1)
    [abandoned] = realtime.gateway.of(Abandoned)
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("upstream_failed", True, 3)
    assert abandoned.id == event.id.replace(".1", ".2")


def test_a_session_that_says_nothing_costs_nothing(realtime: Realtime) -> None:
    async def work() -> None:
        async with talking(realtime):
            pass

    run(work())
    realtime.ended()
    assert realtime.gateway.sink.records == []


@pytest.mark.parametrize("is_talking", [False, True])
def test_a_gateway_that_stops_ends_sessions_after_their_response(realtime: Realtime, is_talking: bool) -> None:
    gateway = realtime.gateway

    def drain() -> None:
        for connection in list(gateway.api.connections):
            if connection.is_idle:
                connection.close()

    async def work() -> None:
        async with talking(realtime) as connection:
            if is_talking:
                await create(connection, "parts=3 stall=1")
                for _ in range(2):
                    await connection.recv()
                await asyncio.to_thread(gateway.do, drain)
                await connection.send(json.dumps({"type": "response.cancel", "response_id": "resp_0"}))
                assert json.loads(await connection.recv())["type"] == "response.done"
            await asyncio.to_thread(gateway.do, drain)
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    run(work())
    realtime.ended()
    assert len(gateway.of(UsageRecorded)) == is_talking
    assert gateway.of(Abandoned) == []


def test_a_gateway_that_must_stop_cuts_them_and_what_was_begun_is_resolved(realtime: Realtime) -> None:
    gateway = realtime.gateway

    def cut() -> None:
        for connection in list(gateway.api.connections):
            connection.cut()

    async def work() -> None:
        async with talking(realtime) as connection:
            await create(connection, "parts=3 stall=2")
            for _ in range(3):
                await connection.recv()
            await asyncio.to_thread(gateway.do, cut)
            with pytest.raises(ConnectionClosed):
                await connection.recv()

    run(work())
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("gateway_lost", True, 2)


def test_sessions_cut_at_any_frame_are_recorded_as_their_upstream_counted(realtime: Realtime) -> None:
    """Equality with the upstream's own books, over sessions that are left or closed after any number of frames."""
    chance = random.Random(7)

    async def session() -> None:
        frames, closes = chance.randrange(0, 40), chance.random() < 0.5
        async with talking(realtime) as connection:
            for _ in range(chance.randrange(1, 4)):
                script = f"parts={chance.randrange(0, 12)} size={chance.choice((5, 300, 70_000))}"
                await create(connection, script + (" pieces=1" if chance.random() < 0.2 else ""))
            with contextlib.suppress(TimeoutError):
                for _ in range(frames):
                    await asyncio.wait_for(connection.recv(), 0.2)
            if not closes:
                connection.transport.abort()

    async def work() -> None:
        for _ in range(10):
            await asyncio.gather(*(session() for _ in range(6)))

    run(work())
    realtime.ended()
    gateway = realtime.gateway
    recorded: dict[str, list[str]] = {}
    for record in gateway.of(UsageRecorded):
        recorded.setdefault(record.event.id.partition(".")[0], []).append(canonical(json.loads(record.event.raw)))
    served = {key: sorted(map(canonical, held.done)) for key, held in realtime.upstream.sessions.items() if held.done}
    assert {key: sorted(usages) for key, usages in recorded.items()} == served
    assert gateway.of(Abandoned) == []
    admitted = [record.id for record in gateway.of(Admitted)]
    assert len(set(admitted)) == len(admitted) == sum(len(usages) for usages in served.values())


def canonical(usage: dict[str, Any]) -> str:
    return json.dumps(usage, sort_keys=True)


# ---- refused


@pytest.mark.parametrize(
    ("query", "key", "status", "code"),
    [
        ("model=talk", "ek-wrong", 401, "invalid_api_key"),
        ("model=talk", "", 401, "invalid_api_key"),
        ("model=nothing", KEY, 404, "model_not_found"),
        ("model=chat", KEY, 400, "operation_not_supported"),
        ("", KEY, 400, "invalid_request"),
        ("call_id=rtc_1", KEY, 400, "unsupported_value"),
        ("model=talk&intent=transcription", KEY, 400, "unsupported_value"),
    ],
)
def test_what_is_refused_is_refused_before_the_websocket(
    realtime: Realtime, query: str, key: str, status: int, code: str
) -> None:
    async def work() -> None:
        url = realtime.url.partition("?")[0] + f"?{query}"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, additional_headers={"Authorization": f"Bearer {key}"} if key else {}):
                pass
        response = refused.value.response
        assert response.status_code == status
        assert json.loads(response.body or b"")["error"]["code"] == code

    run(work())
    assert realtime.upstream.sessions == {}
    assert realtime.gateway.sink.records == []


@pytest.mark.parametrize(("status", "shown"), [(429, 429), (404, 404), (401, 502), (500, 500)])
def test_an_upstreams_refusal_is_relayed_without_its_address(realtime: Realtime, status: int, shown: int) -> None:
    realtime.upstream.refuse = status

    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(realtime):
                pass
        assert refused.value.response.status_code == shown
        error = json.loads(refused.value.response.body or b"")["error"]
        assert "127.0.0.1" not in error["message"]

    run(work())
    assert realtime.gateway.sink.records == []


def test_an_upstream_that_is_not_there(realtime: Realtime) -> None:
    realtime.gateway.serve(deployment("talk", target("http://127.0.0.1:9/v1"), operations=("realtime",)))

    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(realtime):
                pass
        assert refused.value.response.status_code == 503

    run(work())


def test_without_the_usage_log_no_session_begins(realtime: Realtime) -> None:
    realtime.gateway.sink.available = False

    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(realtime):
                pass
        assert refused.value.response.status_code == 503

    run(work())


def test_a_plain_request_is_told_to_ask_for_a_websocket(realtime: Realtime) -> None:
    reply = ask(realtime.gateway, path="/v1/realtime?model=talk", method="GET")
    assert (reply.status, reply.headers["upgrade"], reply.headers["sec-websocket-version"]) == (426, "websocket", "13")
    assert ask(realtime.gateway, b"{}", path="/v1/realtime?model=talk").status == 405
    azure = ask(realtime.gateway, path="/openai/realtime?deployment=talk", method="GET")
    assert (azure.status, "api-version" in azure.error["message"]) == (400, True)


def upgrade(*lines: str) -> bytes:
    key = base64.b64encode(bytes(16)).decode()
    head = [
        "GET /v1/realtime?model=talk HTTP/1.1", "Host: h", f"Authorization: Bearer {KEY}", "Upgrade: websocket",
        "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *lines, "", "",
    ]  # fmt: skip
    return "\r\n".join(head).encode()


def opened(realtime: Realtime) -> socket.socket:
    connection = realtime.gateway.connect()
    connection.sendall(upgrade())
    assert b" 101 " in read_until(connection, b"session.created")
    return connection


@pytest.mark.parametrize(
    "noise",
    [b"\x81\x01a", b"\xc1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x89\xff" + b"\x7f" * 12],
    ids=["unmasked", "extension", "unknown", "continuation", "long control"],
)
def test_a_client_that_speaks_no_websocket_is_cut_off(realtime: Realtime, noise: bytes) -> None:
    with opened(realtime) as connection:
        connection.sendall(noise)
        assert b"\x88" in read_to_end(connection)
    realtime.ended()
    assert realtime.gateway.sink.records == []


def test_what_comes_before_the_websocket_has_begun_is_kept_for_it(realtime: Realtime) -> None:
    text = b'{"type":"input_audio_buffer.append","audio":"abcd"}'
    with realtime.gateway.connect() as connection:
        connection.sendall(upgrade() + bytes((0x81, 0x80 | len(text))) + bytes(4) + text)
        read_until(connection, b'"bytes": 4')


def test_a_client_that_leaves_before_it_has_begun(realtime: Realtime) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        realtime.gateway.serve(deployment("talk", target(url), operations=("realtime",)))
        with realtime.gateway.connect() as connection:
            connection.sendall(upgrade())
            other, _ = listening.accept()
            asked = read_until(other, b"\r\n\r\n")
            assert asked.startswith(b"GET /v1/realtime?model=upstream-model HTTP/1.1\r\n")
        assert read_to_end(other) == b""
        other.close()
    realtime.ended()
    assert realtime.gateway.sink.records == []


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_an_upstream_that_does_not_accept_as_it_should(realtime: Realtime, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        realtime.gateway.serve(deployment("talk", target(url), operations=("realtime",)))
        with realtime.gateway.connect() as connection:
            connection.sendall(upgrade())
            other, _ = listening.accept()
            with other:
                read_until(other, b"\r\n\r\n")
                other.sendall(said)
                if not said:
                    other.close()
                assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 502 ")
