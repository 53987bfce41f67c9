"""A gateway whose timer fails ends its answers instead of going on without deadlines, and says why."""

import asyncio
from functools import partial

import pytest

from entrepot.compose.gateway import _stop_without_timer


@pytest.mark.parametrize("fails", [True, False])
def test_a_gateway_stops_when_its_timer_has_failed_and_not_when_it_was_ended(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> bool:
        stopping = asyncio.Event()

        async def tick() -> None:
            await asyncio.sleep(0)
            if fails:
                raise ValueError("a sweep went wrong")
            await asyncio.sleep(60)

        ticking = asyncio.create_task(tick())
        ticking.add_done_callback(partial(_stop_without_timer, stopping))
        for _ in range(3):
            await asyncio.sleep(0)
        ticking.cancel()
        await asyncio.wait({ticking})
        await asyncio.sleep(0)
        return stopping.is_set()

    assert asyncio.run(work()) is fails
    assert ("timer_failed; this gateway ends" in caplog.text) is fails
