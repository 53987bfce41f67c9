"""What every AnswerStore does, whatever it is made of."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from entrepot.adapters.memory.answer_store import MemoryAnswerStore
from entrepot.adapters.valkey.answer_store import ValkeyAnswerStore
from entrepot.adapters.valkey.client import ValkeyClient, parse_server
from entrepot.core.periods import SECOND
from entrepot.ports.answer_store import AnswerStore
from tests.support.valkey import ValkeyServer, running_valkey

AT = 1_700_000_000 * SECOND
REPLY_S_MAX = 1.0  # On a busy machine a server is later than requests would wait for an answer that is kept.
Work = Callable[[AnswerStore], Awaitable[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with running_valkey() as running:
        yield running


@pytest.fixture(params=["memory", "valkey"])
def with_store(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    """Runs work with a store that is ready."""

    def run(work: Work) -> None:
        if request.param == "memory":
            asyncio.run(_await(work(MemoryAnswerStore(2**24))))
        else:
            asyncio.run(with_valkey(request.getfixturevalue("server"), work))

    return run


async def _await(work: Awaitable[None]) -> None:
    await work


async def with_valkey(server: ValkeyServer, work: Work) -> None:
    client = ValkeyClient(asyncio.get_running_loop(), parse_server(server.url), REPLY_S_MAX)
    await again(client)
    try:
        await work(ValkeyAnswerStore(client))
    finally:
        client.close()
        await asyncio.sleep(0)


async def got(store: AnswerStore, key: str, at: int = AT) -> bytes | None:
    found: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    store.get(key, at, found.set_result)
    return await found


def test_a_key_that_was_never_put_has_no_value(with_store: Callable[[Work], None]) -> None:
    async def work(store: AnswerStore) -> None:
        assert await got(store, "never") is None
        assert store.counters.failures == 0

    with_store(work)


def test_a_value_comes_back_as_it_was_put_and_the_last_one_counts(with_store: Callable[[Work], None]) -> None:
    async def work(store: AnswerStore) -> None:
        for value in (b"one\r\n$3\r\n\x00\xff", b"", b"x" * 3_000_000):
            store.put("key", value, AT, 60)
            assert await got(store, "key") == value
        assert await got(store, "other") is None

    with_store(work)


def test_many_are_asked_for_at_once(with_store: Callable[[Work], None]) -> None:
    async def work(store: AnswerStore) -> None:
        for number in range(500):
            store.put(f"k{number}", b"%d" % number, AT, 60)
        found = await asyncio.gather(*(got(store, f"k{number}") for number in range(500)))
        assert found == [b"%d" % number for number in range(500)]

    with_store(work)


def test_a_value_ends(with_store: Callable[[Work], None]) -> None:
    async def work(store: AnswerStore) -> None:
        store.put("short", b"x", AT, 1)
        assert await got(store, "short") == b"x"
        tries = 0
        while await got(store, "short", AT + SECOND) is not None:
            tries += 1
            assert tries < 500, "it never ended"
            await asyncio.sleep(0.02)

    with_store(work)


def test_memory_lets_go_of_what_was_used_least_lately() -> None:
    async def work() -> None:
        store = MemoryAnswerStore(5_000)
        for name in "abc":
            store.put(name, b"x" * 1_000, AT, 60)
        assert await got(store, "a") is not None
        store.put("d", b"x" * 1_000, AT, 60)
        assert [name for name in "abcd" if await got(store, name) is not None] == ["a", "c", "d"]
        counters = store.counters
        assert (counters.entries, counters.evictions, counters.size_bytes) == (3, 1, 3 * 1_320)
        store.put("a", b"x" * 5_000, AT, 60)
        assert await got(store, "a") is None
        assert counters.size_bytes == 2 * 1_320

    asyncio.run(work())


def test_a_server_that_is_gone_is_no_answer_and_is_found_again(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        with running_valkey(password="open: sesame") as server:
            url = server.url.replace("unix://", "unix://:open%3A%20sesame@") + "?db=3"
            client = ValkeyClient(asyncio.get_running_loop(), parse_server(url), REPLY_S_MAX)
            store = ValkeyAnswerStore(client)
            await again(client)
            store.put("key", b"value", AT, 60)
            assert await got(store, "key") == b"value"
            server.stop()
            assert await got(store, "key") is None
            assert store.counters.failures >= 1
            server.start()
            await again(client)
            assert await got(store, "key") is None
            store.put("key", b"value", AT, 60)
            assert await got(store, "key") == b"value"
            with server.standing_still():
                waiting = [got(store, "key") for _ in range(5)]
                assert await asyncio.gather(*waiting) == [None] * 5
                assert not client.is_connected
                assert await got(store, "key") is None
            await again(client)
            assert await got(store, "key") == b"value"
            caplog.clear()
            client.close()

    asyncio.run(work())
    assert [record for record in caplog.records if record.name == "entrepot.valkey"] == []  # To close is no fault.


async def again(client: ValkeyClient) -> None:
    """Ticks until there is a connection."""
    async with asyncio.timeout(60):
        while not client.is_connected:
            client.tick()
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("shown", "reason"), [(":wrong@", "WRONGPASS"), ("", "NOAUTH")])
def test_a_server_that_refuses_us_is_no_answer_and_is_told_of_once(
    shown: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        with running_valkey(password="right") as server:
            url = server.url.replace("unix://", f"unix://{shown}")
            client = ValkeyClient(asyncio.get_running_loop(), parse_server(url), REPLY_S_MAX)
            store = ValkeyAnswerStore(client)
            for _ in range(5):
                client.fault = ""
                async with asyncio.timeout(60):
                    while not client.fault:
                        client.tick()
                        await asyncio.sleep(0.005)
                assert await got(store, "key") is None
                assert reason in client.fault
            assert not client.is_connected
            client.close()

    asyncio.run(work())
    told = [record.getMessage() for record in caplog.records if record.name == "entrepot.valkey"]
    assert [line.split()[0] for line in told] == ["valkey_refused", "valkey_unavailable"]
