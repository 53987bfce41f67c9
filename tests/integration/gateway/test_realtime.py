"""Realtime sessions: an unmodified client, a gateway and a scripted upstream, and what the log holds of them."""

import asyncio
import json
from typing import Any

import openai
import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from entrepot.core.log_records import Abandoned, Admitted
from tests.support.gateway import (
    KEY,
    UPSTREAM_KEY,
    eventually,
)
from tests.support.realtime import METERS, Realtime, answer, create, run, talking, until_the_end


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
    eventually(lambda: held.closed)
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


@pytest.mark.parametrize("says_more", [False, True])
def test_an_upstream_that_is_gone_before_the_usage_is_durable(realtime: Realtime, says_more: bool) -> None:
    gateway = realtime.gateway

    async def work() -> None:
        async with talking(realtime) as connection:
            gateway.sink.hold = True
            await create(connection, "parts=1")
            await asyncio.to_thread(realtime.events, 1)
            await asyncio.to_thread(gateway.do, realtime.upstream.drop)
            [session] = gateway.flow.sessions
            await asyncio.to_thread(eventually, lambda: session._is_lost)
            if says_more:
                await connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": "abc"}))
            await asyncio.to_thread(gateway.do, gateway.sink.release)
            kinds = [json.loads(await connection.recv())["type"] for _ in range(3)]
            assert kinds == ["response.created", "response.output_audio.delta", "response.done"]
            with pytest.raises(ConnectionClosed) as closed:
                await until_the_end(connection)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011

    run(work())
    realtime.ended()


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
