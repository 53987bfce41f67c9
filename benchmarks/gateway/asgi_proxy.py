"""A yardstick: the shortest reverse proxy that people write with common parts, on uvicorn with aiohttp's client.

It checks the key against a table and passes answers on as they arrive. It meters nothing.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UPSTREAM = os.environ["BENCH_UPSTREAM"]
KEYS = {os.environ["BENCH_KEY"].encode(): "customer"}
PASSED_ON = {b"content-type", b"content-length"}


class Proxy:
    """The ASGI application."""

    session: aiohttp.ClientSession

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        body = await read(receive)
        headers = dict(scope["headers"])
        if headers.get(b"authorization", b"")[len(b"Bearer ") :] not in KEYS:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        upstream_headers = {"authorization": "Bearer upstream", "content-type": "application/json"}
        async with self.session.post(UPSTREAM + scope["path"], data=body, headers=upstream_headers) as answer:
            kept = [(name.lower(), value) for name, value in answer.raw_headers if name.lower() in PASSED_ON]
            await send({"type": "http.response.start", "status": answer.status, "headers": kept})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def live(self, receive: Receive, send: Send) -> None:
        """Opens the client at the server's start and closes it at its end."""
        await receive()
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600)
        timeout = aiohttp.ClientTimeout(total=None)
        self.session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.session.close()
        await send({"type": "lifespan.shutdown.complete"})


async def read(receive: Receive) -> bytes:
    """The whole request body."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


app = Proxy()
