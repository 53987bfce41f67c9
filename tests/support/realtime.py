"""A gateway with a realtime upstream beside it, and the ways to talk through it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from entrepot.core.log_records import UsageRecorded
from entrepot.core.usage_event import UsageEvent
from entrepot.ports.counters import Counters
from tests.support.gateway import (
    KEY,
    Gateway,
    deployment,
    eventually,
    running_gateway,
    target,
)
from tests.support.realtime_upstream import RealtimeUpstream

METERS = {"audio_input_tokens": 50, "audio_output_tokens": 3, "input_tokens": 100, "output_tokens": 3}


class Realtime:
    """A gateway with a realtime upstream beside it, in the same loop."""

    def __init__(self, gateway: Gateway, upstream: RealtimeUpstream) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.deployment = "talk"

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}/v1/realtime?model={self.deployment}"

    def events(self, count: int) -> list[UsageEvent]:
        """The usage events, waited for until there are so many."""
        eventually(lambda: len(self.gateway.of(UsageRecorded)) >= count)
        found = [record.event for record in self.gateway.of(UsageRecorded)]
        assert len(found) == count
        return found

    def ended(self) -> None:
        """Returns once no session is open."""
        eventually(lambda: not self.gateway.flow.sessions and not self.gateway.api.connections)


@contextlib.contextmanager
def running_realtime(counters: Counters | None = None) -> Iterator[Realtime]:
    """A gateway that serves `talk` of a realtime upstream, and `chat`; both stopped at the end."""
    with running_gateway(published=False, counters=counters) as gateway:
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
        async with asyncio.timeout(100):
            await work

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def talking(realtime: Realtime, **headers: str) -> AsyncIterator[ClientConnection]:
    """A plain WebSocket whose session has begun."""
    fields = headers or {"Authorization": f"Bearer {KEY}"}
    # Without a bound of its own: this library cannot close while it does not read.
    async with connect(realtime.url, additional_headers=fields, max_queue=None, open_timeout=60) as connection:
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
