"""The traffic client against a real HTTP server that behaves well, refuses, breaks off and goes away."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from entrepot.adapters.traffic_client import Endpoint, http_traffic, prompt
from entrepot.ports.traffic import TrafficAnswer, TrafficRequest

ASK = TrafficRequest(number=7, prompt_tokens=12, answer_tokens=5)
USAGE = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


async def answer(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    assert request.headers["Authorization"] == "Bearer ek-1"
    assert (body["model"], body["max_tokens"], len(body["messages"][0]["content"].split())) == ("chat", 5, 12)
    if not body.get("stream"):
        return web.json_response({"choices": [], "usage": USAGE})
    assert body["stream_options"] == {"include_usage": True}
    return await stream(
        request,
        event({"choices": [{"delta": {"content": "hi"}}], "usage": None}),
        event({"usage": USAGE}),
        b"data: [DONE]\n\n",
    )


async def stream(request: web.Request, *chunks: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk[:5])
        await response.write(chunk[5:])
    return response


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_is_counted_by_the_servers_own_usage(streamed: bool) -> None:
    got = ask(answer, stream=streamed)
    assert (got.status, got.error, got.input_tokens, got.output_tokens) == (200, "", 30, 5)
    assert 0 < got.first_byte_us <= got.elapsed_us


async def refuse(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": "slower", "code": "rate_limit_exceeded"}}, status=429)


async def refuse_without_words(_: web.Request) -> web.StreamResponse:
    return web.Response(status=502, text="<html>")


async def no_json(_: web.Request) -> web.StreamResponse:
    return web.Response(text="hello")


async def break_off(request: web.Request) -> web.StreamResponse:
    return await stream(request, event({"choices": []}))


async def fail_in_the_middle(request: web.Request) -> web.StreamResponse:
    return await stream(request, event({"choices": []}), event({"error": {"code": "upstream_failed"}}))


async def forget_usage(request: web.Request) -> web.StreamResponse:
    return await stream(request, event({"choices": []}), b"data: [DONE]\n\n")


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize(
    ("handler", "streamed", "status", "error"),
    [
        (refuse, False, 429, "429 rate_limit_exceeded"),
        (refuse_without_words, True, 502, "502"),
        (no_json, False, 200, "200 and no JSON"),
        (break_off, True, 200, "200, then the stream broke off"),
        (fail_in_the_middle, True, 200, "200, then upstream_failed"),
        (forget_usage, True, 200, "200 without usage"),
        (hang_up, False, 0, "connection lost: ServerDisconnectedError"),
    ],
)
def test_failures_are_answers_that_say_what_happened(handler: Handler, streamed: bool, status: int, error: str) -> None:
    got = ask(handler, stream=streamed)
    assert (got.status, got.error) == (status, error)


def test_nobody_there_is_an_answer_too() -> None:
    async def main() -> TrafficAnswer:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        async with http_traffic(endpoint(port)) as traffic:
            return await traffic.send(ASK)

    got = asyncio.run(main())
    assert got.status == 0
    assert got.error.startswith("no connection: ")


def test_prompts_are_the_same_for_the_same_seed_and_number() -> None:
    assert prompt(1, ASK) == prompt(1, ASK)
    assert prompt(1, ASK) != prompt(2, ASK)
    assert prompt(1, ASK) != prompt(1, TrafficRequest(8, 12, 5))
    assert len(prompt(1, ASK).split()) == 12


def endpoint(port: int, **changes: Any) -> Endpoint:
    fields: dict[str, Any] = {"key": "ek-1", "deployment": "chat", "stream": False, "seed": 1, **changes}
    return Endpoint(base_url=f"http://127.0.0.1:{port}/v1", **fields)


def ask(handler: Handler, *, stream: bool) -> TrafficAnswer:
    async def main() -> TrafficAnswer:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handler)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            async with http_traffic(endpoint(port, stream=stream)) as traffic:
                return await traffic.send(ASK)
        finally:
            await runner.cleanup()

    return asyncio.run(main())
