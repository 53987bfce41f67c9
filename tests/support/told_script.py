"""The script that counts in Valkey, on told time."""

import asyncio
from collections.abc import Awaitable, Callable

from entrepot.adapters.valkey.client import Answer, ValkeyClient, parse_server
from entrepot.adapters.valkey.counters import SCRIPT, keys_of
from entrepot.core.counter_language import Words
from entrepot.core.periods import SECOND, Instant
from tests.support.valkey import ValkeyServer

CLOCK = b"redis.call('TIME')"
TOLD_TIME = SCRIPT.replace(CLOCK, b"{table.remove(ARGV, #ARGV - 1), table.remove(ARGV, #ARGV)}")


class ToldScript:
    """A server's script; each message comes with the time."""

    def __init__(self, client: ValkeyClient) -> None:
        self._client = client

    def ask(self, words: Words, at: Instant, done: Callable[[Words], None]) -> None:
        """Calls done with the answer."""

        def take(answer: Answer) -> None:
            assert isinstance(answer, list), answer
            done([word for word in answer if isinstance(word, bytes)])

        keys = list(keys_of(words))
        clock = (b"%d" % (at // SECOND), b"%d" % (at % SECOND))
        self._client.execute(b"EVAL", TOLD_TIME, b"%d" % len(keys), *keys, *words, *clock, done=take)

    async def answer(self, words: Words, at: Instant) -> Words:
        """The answer."""
        said: asyncio.Future[Words] = asyncio.get_running_loop().create_future()
        self.ask(words, at, said.set_result)
        return await said


async def with_told_script(server: ValkeyServer, work: Callable[[ToldScript], Awaitable[None]]) -> None:
    """Does work with the script on a server that is empty."""
    client = ValkeyClient(asyncio.get_running_loop(), parse_server(server.url), 5.0)
    async with asyncio.timeout(60):
        while not client.is_connected:
            client.tick()
            await asyncio.sleep(0.005)
    emptied: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    client.execute(b"FLUSHALL", done=emptied.set_result)
    assert await emptied == b"OK"
    try:
        await work(ToldScript(client))
    finally:
        client.close()
        await asyncio.sleep(0)
