"""Counters that several gateways share, when what keeps them is killed, emptied, slow or replaced."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from entrepot.adapters.machine_counters import MachineCounters
from entrepot.adapters.valkey.client import Answer, ValkeyClient, parse_server
from entrepot.adapters.valkey.counters import ValkeyCounters
from entrepot.cli.main import main
from entrepot.compose.settings import load_settings
from entrepot.core.capacity import Limit
from entrepot.core.drawing import Outcome
from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.periods import MINUTE, Instant
from entrepot.core.shared_counters import REMEMBER_US
from tests.support.gateway_processes import said
from tests.support.valkey import ValkeyServer, running_valkey

AGES = 100 * 365 * 24 * 60 * MINUTE  # A window that is not over before these tests are.
WINDOW = Limit("tokens", "tokens", "window", 1000, window=AGES)
BUDGET = Limit("money", "money", "budget", 10**20)
Shared = MachineCounters | ValkeyCounters


def now() -> Instant:
    return time.time_ns() // 1000


class Owner:
    """The process of a machine, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = load_settings({}, {"home": str(home)}).counter_socket
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> "Owner":
        command = [sys.executable, "-m", "entrepot.compose.counter_process", "--home", str(self.home)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said(self._process)
        return self

    def kill(self, number: signal.Signals = signal.SIGKILL) -> str:
        """What it said last."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.communicate(timeout=60)[1]

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def owner() -> Iterator[Owner]:
    with tempfile.TemporaryDirectory(prefix="entrepot-") as folder:
        started = Owner(Path(folder)).start()
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with running_valkey() as running:
        yield running


async def until(counters: Shared, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            counters.tick(now())
            await asyncio.sleep(0.005)


async def ready(*gateways: Shared) -> None:
    for counters in gateways:
        await until(counters, lambda counters=counters: counters.drawing.is_ready)  # type: ignore[misc]


@contextlib.asynccontextmanager
async def at_machine(owner: Owner, *names: str) -> AsyncIterator[list[MachineCounters]]:
    gateways = [MachineCounters(asyncio.get_running_loop(), owner.path, name) for name in names]
    await ready(*gateways)
    yield gateways
    for counters in gateways:
        counters.close()


@contextlib.asynccontextmanager
async def at_valkey(server: ValkeyServer, *names: str) -> AsyncIterator[list[ValkeyCounters]]:
    parsed = parse_server(server.url)
    gateways = [ValkeyCounters(asyncio.get_running_loop(), parsed, name) for name in names]
    await ready(*gateways)
    yield gateways
    for counters in gateways:
        counters.close()


async def drawn(counters: Shared, limit: Limit, need: int, wish: int = 0) -> Outcome:
    answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    counters.draw([Draw(limit, need, wish)], now(), answer.set_result)
    return await answer


async def granted(counters: Shared, limit: Limit, need: int, wish: int = 0) -> Grant:
    outcome = await drawn(counters, limit, need, wish)
    assert outcome is not None
    assert not isinstance(outcome, Shortage), outcome
    return outcome[0]


async def drawn_at_last(counters: Shared, others: list[Shared], limit: Limit, need: int) -> Outcome:
    """What comes of a draw once the counters can be asked again, all gateways ticking."""
    async with asyncio.timeout(60):
        while (outcome := await drawn(counters, limit, need)) is None:
            for one in (counters, *others):
                one.tick(now())
            await asyncio.sleep(0.01)
    return outcome


async def asked(server: ValkeyServer, *words: bytes) -> Answer:
    client = ValkeyClient(asyncio.get_running_loop(), parse_server(server.url), 5.0)
    async with asyncio.timeout(60):
        while not client.is_connected:
            client.tick()
            await asyncio.sleep(0.005)
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    client.execute(*words, done=answer.set_result)
    try:
        return await answer
    finally:
        client.close()
        await asyncio.sleep(0)


def run(work: Awaitable[None]) -> None:
    async def whole() -> None:
        await work

    asyncio.run(whole())


async def nothing_is_forgotten(one: Shared, two: Shared, lose: Callable[[], Awaitable[None]]) -> None:
    """Two gateways draw, all is lost, and then what is left is what it was, to the unit."""
    await granted(one, WINDOW, 300)
    await granted(two, WINDOW, 250)
    await granted(one, BUDGET, 6 * 10**19 + 1)
    two.give([Return(WINDOW, 50, 200, now())], now())
    await drawn(two, WINDOW, 0)
    await lose()
    began = now()
    # The one who knows least comes first, and is told nothing until the other has spoken.
    await ready(one)
    assert await drawn(one, WINDOW, 1) is None
    outcome = await drawn_at_last(one, [two], WINDOW, 501)
    assert isinstance(outcome, Shortage), outcome
    assert outcome.used == 500
    assert now() - began < 10 * REMEMBER_US
    assert await drawn(one, BUDGET, 4 * 10**19) == Shortage(0, 6 * 10**19 + 1, None, 0)
    await fits(one, WINDOW, 500)
    await fits(two, BUDGET, 4 * 10**19 - 1)


async def fits(counters: Shared, limit: Limit, need: int) -> None:
    grant = await granted(counters, limit, need)
    assert (grant.units, grant.left) == (need, 0)


def test_a_killed_process_forgets_nothing(owner: Owner) -> None:
    async def work() -> None:
        async with at_machine(owner, "one", "two") as (one, two):

            async def lose() -> None:
                owner.kill()
                assert await drawn(one, WINDOW, 1) is None
                one.give([Return(BUDGET, 0, 0, now())], now())
                owner.start()

            await nothing_is_forgotten(one, two, lose)

    run(work())


def test_a_flushed_server_forgets_nothing(server: ValkeyServer) -> None:
    async def work() -> None:
        async with at_valkey(server, "one", "two") as (one, two):

            async def lose() -> None:
                await asked(server, b"FLUSHALL")
                assert await drawn(one, WINDOW, 1) is None

            await nothing_is_forgotten(one, two, lose)

    run(work())


def test_a_server_that_was_started_again_forgets_nothing(server: ValkeyServer) -> None:
    async def work() -> None:
        async with at_valkey(server, "one", "two") as (one, two):

            async def lose() -> None:
                server.stop()
                assert await drawn(one, WINDOW, 1) is None
                server.start()

            await nothing_is_forgotten(one, two, lose)

    run(work())


def test_installations_share_windows_and_no_budgets(server: ValkeyServer) -> None:
    async def work() -> None:
        parsed = parse_server(server.url)
        one, two = (ValkeyCounters(asyncio.get_running_loop(), parsed, name, name) for name in ("one", "two"))
        await ready(one, two)
        await granted(one, WINDOW, 900)
        assert isinstance(await drawn(two, WINDOW, 101), Shortage)
        await granted(one, BUDGET, BUDGET.units)
        await fits(two, BUDGET, BUDGET.units)
        for counters in (one, two):
            counters.close()

    run(work())


def test_scripts_that_are_gone_are_sent_again(server: ValkeyServer) -> None:
    async def work() -> None:
        async with at_valkey(server, "one") as (one,):
            await drawn(one, WINDOW, 300)
            await asked(server, b"SCRIPT", b"FLUSH")
            assert (await granted(one, WINDOW, 100)).left == 600
            assert one.drawing.failed == 0

    run(work())


def test_a_full_server_that_evicts_nothing_grants_nothing_until_there_is_room(server: ValkeyServer) -> None:
    async def work() -> None:
        async with at_valkey(server, "one") as (one,):
            await granted(one, WINDOW, 900)
            await asked(server, b"CONFIG", b"SET", b"maxmemory", b"1")
            assert await drawn(one, WINDOW, 50) is None
            await asked(server, b"CONFIG", b"SET", b"maxmemory", b"0")
            left = await drawn_at_last(one, [], WINDOW, 50)
            assert not isinstance(left, Shortage)
            assert left is not None
            assert left[0].left == 50

    run(work())


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru", "volatile-ttl"])
def test_a_server_that_may_evict_is_warned_of(
    server: ValkeyServer,
    policy: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """When a gateway connects, and by `entrepot doctor`; both count there all the same."""

    async def work() -> None:
        await asked(server, b"CONFIG", b"SET", b"maxmemory", b"100mb")
        await asked(server, b"CONFIG", b"SET", b"maxmemory-policy", policy.encode())
        async with at_valkey(server, "one") as (one,):
            await granted(one, WINDOW, 1)

    run(work())
    told = [record.getMessage() for record in caplog.records if record.name == "entrepot.valkey"]
    assert len(told) == (policy != "noeviction")
    assert all(f"maxmemory_policy={policy}" in line and server.url not in line for line in told)
    monkeypatch.setenv("ENTREPOT_COUNTERS", "valkey")
    monkeypatch.setenv("ENTREPOT_VALKEY_URL", server.url)
    main(["doctor", "--home", str(tmp_path), "--json"])
    [found] = [item for item in json.loads(capsys.readouterr().out)["findings"] if item["name"] == "counters"]
    assert found["state"] == ("good" if policy == "noeviction" else "warn")
    assert ("set maxmemory-policy noeviction" in found["detail"]) == (policy != "noeviction")


async def an_answer_that_never_came_costs_nothing(one: Shared, still: contextlib.AbstractContextManager[None]) -> None:
    """A draw and a return of a budget that nobody can say were done: both sides agree afterwards."""
    limit = Limit("small", "tokens", "budget", 100)
    first = await granted(one, limit, 40)
    with still:
        answers: list[Outcome] = []
        one.draw([Draw(limit, 50)], now(), answers.append)
        one.give([Return(limit, 10, 0, first.taken_at)], now())
        await until(one, lambda: answers)
        assert answers == [None]
        assert not one.drawing.is_ready
    await ready(one)
    assert await drawn(one, limit, 71) == Shortage(0, 30, None, 0)
    await fits(one, limit, 70)


def test_a_server_that_says_nothing_is_given_up(server: ValkeyServer) -> None:
    async def work() -> None:
        async with at_valkey(server, "one") as (one,):
            await an_answer_that_never_came_costs_nothing(one, server.standing_still())

    run(work())


def test_a_process_that_says_nothing_is_given_up(owner: Owner) -> None:
    async def work() -> None:
        async with at_machine(owner, "one") as (one,):
            await an_answer_that_never_came_costs_nothing(one, owner.standing_still())

    run(work())


def test_what_others_may_hold_idle_is_said_until_they_have_given_it_back(server: ValkeyServer) -> None:
    async def work() -> None:
        async with at_valkey(server, "one", "two") as (one, two):
            limit = Limit("scarce", "tokens", "window", 1000, window=AGES)
            got = await granted(one, limit, 100, 400)
            ahead = got.units - 100
            assert 0 < ahead <= 225
            short = await drawn(two, limit, 900)
            assert isinstance(short, Shortage)
            assert (short.used, short.idle) == (100 + ahead, 100 + ahead)
            assert two.scarce == {"scarce"}
            await until(one, lambda: one.scarce)
            one.give([Return(limit, ahead, 0, got.taken_at)], now())
            fine = await granted(two, limit, 100, 100)
            assert (fine.units, fine.left) == (100, 800), "nothing is drawn ahead of what is scarce"
            async with asyncio.timeout(60):
                while True:
                    one.tick(now())
                    short = await drawn(two, limit, 900)
                    assert isinstance(short, Shortage)
                    if short.idle == 0:
                        break
                    await asyncio.sleep(0.01)

    run(work())


def test_a_second_process_is_refused_and_a_stale_socket_is_not(owner: Owner) -> None:
    second = Owner(owner.home)
    with pytest.raises(AssertionError, match=r"kept at .* already"):
        second.start()
    owner.kill(signal.SIGTERM)
    assert not owner.path.exists()
    owner.start()
    owner.kill()
    assert owner.path.exists()
    owner.start()
