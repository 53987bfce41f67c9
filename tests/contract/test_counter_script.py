"""The script that Valkey runs says what core.shared_counters says, word for word, on told time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest

from entrepot.core import counter_language as language
from entrepot.core.capacity import Limit
from entrepot.core.counter_language import Words
from entrepot.core.draws import Draw
from entrepot.core.periods import HOUR, MINUTE, SECOND
from entrepot.core.shared_counters import Claim, Given, Own, SharedCounters, Weighed
from tests.support.told_script import ToldScript, with_told_script
from tests.support.valkey import ValkeyServer, running_valkey

START = 1_790_000_000 * SECOND
LIMITS = (
    Limit("tokens", "tokens", "window", 10_000, window=10 * SECOND),
    Limit("requests", "requests", "window", 40, window=SECOND),
    Limit("load", "load", "bucket", 5_000, drain=60_000),
    Limit("much load", "load", "bucket", 10**9, drain=10**9),
    Limit("budget", "tokens", "budget", 200_000),
    Limit("money", "money", "budget", 10**20 + 7),
)
HOLDERS = ("one", "two", "three")


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with running_valkey() as running:
        yield running


def with_script(server: ValkeyServer, work: Callable[[ToldScript], Awaitable[None]]) -> None:
    asyncio.run(with_told_script(server, work))


def some_units(chance: random.Random, limit: Limit) -> int:
    return chance.randrange(0, max(1, limit.units // 20))


def some_words(chance: random.Random, epoch: str, at: int, generation: int) -> Words:
    """Whatever a gateway might say, and some that none would."""
    holder = chance.choice(HOLDERS)
    limits = chance.sample(LIMITS, chance.randrange(1, 4))
    verb = chance.randrange(8)
    before = at - chance.randrange(0, 20 * SECOND)
    if verb < 4:
        draws = [Draw(limit, some_units(chance, limit), some_units(chance, limit)) for limit in limits]
        return language.draw(holder, generation, epoch, draws)
    if verb < 6:
        given = [Given(limit, some_units(chance, limit), some_units(chance, limit) // 9, before) for limit in limits]
        return language.give(holder, generation, epoch, given)
    if verb == 6 and chance.random() < 0.5:
        weighed = [
            Weighed(limit, chance.randrange(limit.units * 5 // 4), chance.randrange(10**14), some_living(chance, limit))
            for limit in limits
            if limit.refill == "budget"
        ]
        return language.weigh(holder, generation, epoch, weighed)
    if verb == 6:
        return language.look(holder, generation, epoch, [(limit, chance.random() < 0.5) for limit in limits])
    told = [Claim(limit, (some_units(chance, limit), before), some_units(chance, limit)) for limit in limits]
    return language.join(holder, generation, chance.choice([epoch, epoch, "another"]), told)


def some_living(chance: random.Random, limit: Limit) -> dict[str, Own]:
    def units() -> int:
        return chance.choice([0, some_units(chance, limit)])

    return {name: Own(units(), units()) for name in chance.sample([*HOLDERS, "four"], chance.randrange(0, 5))}


@pytest.mark.parametrize("seed", range(6))
def test_the_script_answers_like_the_process(server: ValkeyServer, seed: int) -> None:
    chance = random.Random(seed)

    async def work(asked: ToldScript) -> None:
        at = START
        [_, epoch, _] = await asked.answer(language.join("one", 1, "", []), at)
        counters = SharedCounters(epoch.decode())
        language.answer(counters, language.join("one", 1, "", []), at)
        answered: dict[bytes, int] = {}
        for step in range(500):
            at += chance.choice([0, 1, 1000, 100_000, SECOND])
            if chance.random() < 0.03:  # Somebody sets the clock.
                at += chance.choice([HOUR, -HOUR, -30 * SECOND, -6 * SECOND, -4 * SECOND])
            generation = 1 if step < 450 else 2
            words = some_words(chance, epoch.decode(), at, generation)
            expected = language.answer(counters, words, at)
            assert await asked.answer(words, at) == expected, (step, words)
            answered[expected[0]] = answered.get(expected[0], 0) + 1
        assert answered[b"ok"] > 100
        assert answered[b"short"] > 1

    with_script(server, work)


def test_the_script_is_exact_where_doubles_are_not(server: ValkeyServer) -> None:
    async def work(asked: ToldScript) -> None:
        money = Limit("money", "money", "budget", 10**22)
        [_, epoch, _] = await asked.answer(language.join("one", 1, "", []), START)
        used = 0
        for units in (10**20 + 1, 999_999_999_999, 1, 10**12 - 1, 3 * 10**21 + 7):
            words = language.draw("one", 1, epoch.decode(), [Draw(money, units)])
            used += units
            assert (await asked.answer(words, START))[2] == b"%d" % used
        words = language.draw("one", 1, epoch.decode(), [Draw(money, 10**22 - used + 1)])
        assert (await asked.answer(words, START))[0] == b"short"
        words = language.give("one", 1, epoch.decode(), [Given(money, used - 5, 0, START)])
        assert (await asked.answer(words, START))[1] == b"5"

    with_script(server, work)


def test_a_bucket_leaks_exactly(server: ValkeyServer) -> None:
    async def work(asked: ToldScript) -> None:
        load = Limit("load", "load", "bucket", 10**11, drain=999_999_999_989)
        [_, epoch, _] = await asked.answer(language.join("one", 1, "", []), START)
        await asked.answer(language.draw("one", 1, epoch.decode(), [Draw(load, 10**11)]), START)
        at = START + 3_141_593
        told = await asked.answer(language.draw("one", 1, epoch.decode(), [Draw(load, 0)]), at)
        assert int(told[2]) == 10**11 * MINUTE - 3_141_593 * load.drain

    with_script(server, work)
