"""A batch that runs while a crash run lasts, asked for again until the product takes it, and awaited to its end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import aiohttp

from tests.simulation.crash_counts import Meters, meters_told
from tests.simulation.crash_plan import CHAT, SPAN_S
from tests.simulation.crash_processes import Product

_ENDED_S_MAX = 60.0
_ENDED = {"completed", "failed", "expired", "cancelled"}
_AGAIN_S = 0.2


class BatchClient:
    """A client of one batch. told: {request id: its meters} of the lines that its output has."""

    def __init__(self, product: Product, key: str, chance: Random) -> None:
        self._product = product
        self._headers = {"authorization": f"Bearer {key}"}
        self._at_s = chance.uniform(0, SPAN_S)
        self._lines = [self._line(number, chance) for number in range(chance.randint(2, 8))]
        self.told: dict[str, Meters] = {}
        self.faults: list[str] = []

    @staticmethod
    def _line(number: int, chance: Random) -> bytes:
        script = f"chunks={chance.randint(1, 9)} delay={chance.choice((0, 0.1))}"
        content = f"{'word ' * chance.randint(1, 9)}[[{script}]]"
        body = {"model": "pair", "messages": [{"role": "user", "content": content}]}
        return json.dumps({"custom_id": str(number), "method": "POST", "url": CHAT, "body": body}).encode()

    async def run(self) -> None:
        """Returns when the batch has ended; a fault when it has not, or answers are missing."""
        await asyncio.sleep(self._at_s)
        async with aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=10)) as session:
            try:
                async with asyncio.timeout(_ENDED_S_MAX):
                    await self._run(session)
            except TimeoutError:
                self.faults.append("a batch did not end")

    async def _run(self, session: aiohttp.ClientSession) -> None:
        async def upload() -> Any:
            form = aiohttp.FormData({"purpose": "batch"})
            form.add_field("file", b"\n".join(self._lines), filename="batch.jsonl")
            async with session.post(f"{self._product.gateway}/v1/files", data=form) as answer:
                return await answer.json() if answer.status == 200 else None

        file = await _until(upload)
        asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}

        async def create() -> Any:
            async with session.post(f"{self._product.gateway}/v1/batches", json=asked) as answer:
                return await answer.json() if answer.status == 200 else None

        batch = await _until(create)

        async def ended() -> Any:
            async with session.get(f"{self._product.gateway}/v1/batches/{batch['id']}") as answer:
                found = await answer.json() if answer.status == 200 else {}
                return found if found.get("status") in _ENDED else None

        batch = await _until(ended)
        if batch["status"] != "completed":
            self.faults.append(f"a batch ended as {batch}")
        if batch["output_file_id"] is None:
            return

        async def output() -> Any:
            async with session.get(f"{self._product.gateway}/v1/files/{batch['output_file_id']}/content") as answer:
                return (await answer.text()).splitlines() if answer.status == 200 else None

        for line in map(json.loads, await _until(output)):
            response = line["response"]
            self.told[response["request_id"]] = meters_told(response["body"].get("usage"))


async def _until(work: Callable[[], Awaitable[Any]]) -> Any:
    """What comes of it, tried again while the product is hurt."""
    while True:
        try:
            found = await work()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            found = None
        if found is not None:
            return found
        await asyncio.sleep(_AGAIN_S)
