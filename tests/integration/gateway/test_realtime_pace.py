"""A realtime session whose client or upstream reads nothing: the other side is slowed down to it; nothing is lost."""

import asyncio
import json
from collections.abc import Callable

from websockets.asyncio.client import connect

from entrepot.core.log_records import Abandoned
from tests.support.gateway import KEY
from tests.support.realtime import Realtime, answer, create, run, talking

PARTS = 2000
SIZE = 50_000  # A hundred megabytes of it are far more than all buffers between two processes of a machine.


async def until_still(count: Callable[[], int]) -> int:
    """The count, once it has stopped."""
    before = -1
    while count() != before or not before:
        before = count()
        await asyncio.sleep(0.1)
    return before


def test_a_client_that_reads_slowly_slows_its_upstream_and_nobody_else(realtime: Realtime) -> None:
    async def work() -> None:
        fields = {"Authorization": f"Bearer {KEY}"}
        async with connect(realtime.url, additional_headers=fields, max_queue=1, max_size=None) as connection:
            await connection.recv()
            await create(connection, f"parts={PARTS} size={SIZE}")
            [held] = realtime.upstream.sessions.values()
            assert await until_still(lambda: held.given) < PARTS // 2
            async with talking(realtime) as other:
                assert (await answer(other, "parts=3"))[-1]["type"] == "response.done"
            kinds = [json.loads(await connection.recv())["type"] for _ in range(PARTS + 2)]
            assert kinds == ["response.created", *["response.output_audio.delta"] * PARTS, "response.done"]

    run(work())
    assert {event.meters["output_tokens"] for event in realtime.events(2)} == {3, PARTS}
    assert realtime.gateway.of(Abandoned) == []


def test_an_upstream_that_hears_slowly_slows_its_client_and_nobody_else(realtime: Realtime) -> None:
    said = json.dumps({"type": "input_audio_buffer.append", "audio": "a" * SIZE})

    async def work() -> None:
        async with talking(realtime) as connection:
            [held] = realtime.upstream.sessions.values()
            await asyncio.to_thread(realtime.gateway.do, held.hears.clear)
            sent = 0

            async def talk() -> None:
                nonlocal sent
                for _ in range(PARTS):
                    await connection.send(said)
                    sent += 1

            talks = asyncio.create_task(talk())
            assert await until_still(lambda: sent) < PARTS // 2
            async with talking(realtime) as other:
                assert (await answer(other, "parts=3"))[-1]["type"] == "response.done"
            await asyncio.to_thread(realtime.gateway.do, held.hears.set)
            for _ in range(PARTS):
                assert json.loads(await connection.recv()) == {"type": "heard", "bytes": SIZE}
            await talks

    run(work())
    assert [event.meters["output_tokens"] for event in realtime.events(1)] == [3]
