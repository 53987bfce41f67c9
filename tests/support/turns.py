"""Whether the event loop goes on beside a long piece of work."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def turns_during(work: Awaitable[T]) -> tuple[int, T]:
    """(how often the loop came round while it was done, what came of it)."""
    doing = asyncio.ensure_future(work)
    turns = 0
    while not doing.done():
        await asyncio.sleep(0.001)
        turns += 1
    return turns, doing.result()
