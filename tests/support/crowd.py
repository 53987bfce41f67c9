"""Many clients at once, for gateways on several ports."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.support.gateway import KEY
from tests.support.requests import request_bytes

ANSWER_S_MAX = 60.0


class Outcome(NamedTuple):
    """An answer, or what there was of it. status: 0 where the connection ended before one."""

    status: int
    body: bytes

    @property
    def code(self) -> str:
        """Of an error."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        return str(found["code"])


async def ask_one(port: int, body: bytes, key: str = KEY) -> Outcome:
    """The outcome of one request on a connection of its own."""
    received = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes(body, "Connection: close").replace(KEY.encode(), key.encode()))
        async with asyncio.timeout(ANSWER_S_MAX):
            while chunk := await reader.read(65_536):
                received += chunk
        writer.close()
    except OSError:
        pass
    head, _, content = received.partition(b"\r\n\r\n")
    return Outcome(int(head.split(b" ", 2)[1]) if head else 0, content)


async def ask_all(ports: Sequence[int], bodies: Sequence[bytes], at_once: int, key: str = KEY) -> list[Outcome]:
    """The outcomes of all requests, which go to the ports in turn, so many at once."""
    places = asyncio.Semaphore(at_once)

    async def one(number: int, body: bytes) -> Outcome:
        async with places:
            return await ask_one(ports[number % len(ports)], body, key)

    return await asyncio.gather(*(one(number, body) for number, body in enumerate(bodies)))


def statuses(outcomes: Sequence[Outcome]) -> Counter[int]:
    """How many had which status."""
    return Counter(outcome.status for outcome in outcomes)
