"""What every Counters does, whatever it is made of. Each test has a place of its own, where two gateways draw."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import pytest

from entrepot.adapters.memory.counters import SCARCE_US, MemoryCounters
from entrepot.admission.desk import Desk
from entrepot.admission.ramp import Ramps
from entrepot.core import counter_language as language
from entrepot.core.capacity import Limit
from entrepot.core.counter_language import Words
from entrepot.core.drawing import Drawing
from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.periods import HOUR, MINUTE, SECOND
from entrepot.core.service_tiers import QUARTER, PriorityRules
from entrepot.core.shared_counters import SCARCE_US as KEEPER_SCARCE_US
from entrepot.core.shared_counters import SharedCounters
from entrepot.ports.counters import Counters
from tests.support.told_script import with_told_script
from tests.support.valkey import ValkeyServer, running_valkey

AT = 28_333_333 * MINUTE
TOKENS = Limit("tokens", "tokens", "window", 1000, MINUTE)
REQUESTS = Limit("requests", "requests", "window", 10, 10 * SECOND)
BUCKET = Limit("bucket", "load", "bucket", 100, drain=60)
BUDGET = Limit("budget", "money", "budget", 10**15)


class Place(NamedTuple):
    """Where counters are, as two gateways see it. settle: lets what was said on one side be heard on the other."""

    here: Counters
    there: Counters
    settle: Callable[[], Awaitable[None]]


Work = Callable[[Place], Awaitable[None]]
Run = Callable[[Work], None]
Ask = Callable[[Words, int, Callable[[Words], None]], None]


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with running_valkey() as running:
        yield running


@pytest.fixture(params=["memory", "process", "valkey"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs work in an event loop, with a new place."""
    if request.param == "valkey":
        return partial(_in_valkey, request.getfixturevalue("server"))
    return _in_memory if request.param == "memory" else _in_a_process


class Told:
    """Counters that are kept elsewhere, by a keeper that goes by the time of who asks."""

    def __init__(self, name: str, ask: Ask) -> None:
        self._at = AT
        self._drawing = Drawing(name, lambda words, done: ask(words, self._at, done))
        self._drawing.connected()

    def draw(self, draws: Sequence[Draw], at: int, done: Callable[[tuple[Grant, ...] | Shortage | None], None]) -> None:
        self._at = at
        self._drawing.draw(draws, at, done)

    def give(self, returns: Sequence[Return], at: int) -> None:
        self._at = at
        self._drawing.give(returns, at)

    @property
    def scarce(self) -> set[str]:
        return self._drawing.scarce

    def tick(self, at: int) -> None:
        self._at = at
        self._drawing.tick(at)


async def _at_keeper(work: Work, ask: Ask) -> None:
    here, there = Told("here", ask), Told("there", ask)

    async def heard() -> None:
        now = max(here._at, there._at)
        for counters in (here, there):
            counters.tick(now)
        answered: asyncio.Future[Words] = asyncio.get_running_loop().create_future()
        ask(language.look("nobody", 0, "", []), AT, answered.set_result)
        await answered  # Behind everything else.

    await heard()
    await work(Place(here, there, heard))


def _in_a_process(work: Work) -> None:
    counters = SharedCounters("one")

    def ask(words: Words, at: int, done: Callable[[Words], None]) -> None:
        done(language.answer(counters, words, at))

    asyncio.run(_at_keeper(work, ask))


def _in_valkey(server: ValkeyServer, work: Work) -> None:
    asyncio.run(with_told_script(server, lambda script: _at_keeper(work, script.ask)))


def _in_memory(work: Work) -> None:
    counters = MemoryCounters()

    async def heard() -> None:
        pass

    async def all_of_it() -> None:
        await work(Place(counters.holder("here"), counters.holder("there"), heard))

    asyncio.run(all_of_it())


async def drawn(counters: Counters, *draws: Draw, at: int = AT) -> tuple[Grant, ...] | Shortage:
    got: asyncio.Future[tuple[Grant, ...] | Shortage | None] = asyncio.get_running_loop().create_future()
    counters.draw(draws, at, got.set_result)
    result = await got
    assert result is not None, "the counters could not be asked"
    return result


async def granted(counters: Counters, *draws: Draw, at: int = AT) -> Sequence[Grant]:
    result = await drawn(counters, *draws, at=at)
    assert not isinstance(result, Shortage), result
    return result


async def refused(counters: Counters, *draws: Draw, at: int = AT) -> Shortage:
    result = await drawn(counters, *draws, at=at)
    assert isinstance(result, Shortage), result
    return result


def test_what_is_needed_is_taken_and_no_more_than_there_is(run: Run) -> None:
    async def work(place: Place) -> None:
        [first] = await granted(place.here, Draw(TOKENS, 600))
        assert first == Grant(600, 400, AT)
        assert (await refused(place.there, Draw(TOKENS, 401), at=AT + SECOND))[:3] == (0, 600, 59 * SECOND)
        [last] = await granted(place.there, Draw(TOKENS, 400), at=AT + SECOND)
        assert (last.units, last.left) == (400, 0)

    run(work)


def test_all_or_nothing(run: Run) -> None:
    async def work(place: Place) -> None:
        await granted(place.here, *[Draw(REQUESTS, 10)])
        assert (await refused(place.here, Draw(TOKENS, 500), Draw(REQUESTS, 1)))[:3] == (1, 10, 10 * SECOND)
        [grant] = await granted(place.here, Draw(TOKENS, 1000))
        assert grant.left == 0

    run(work)


def test_a_window_begins_anew(run: Run) -> None:
    async def work(place: Place) -> None:
        await granted(place.here, Draw(TOKENS, 1000))
        await refused(place.here, Draw(TOKENS, 1), at=AT + MINUTE - 1)
        [grant] = await granted(place.there, Draw(TOKENS, 1000), at=AT + MINUTE)
        assert grant.taken_at == AT + MINUTE
        place.here.give([Return(TOKENS, 1000, 0, AT)], AT + MINUTE)  # Of a window that is over.
        await place.settle()
        await refused(place.there, Draw(TOKENS, 1), at=AT + MINUTE)

    run(work)


def test_what_no_window_holds_never_fits(run: Run) -> None:
    async def work(place: Place) -> None:
        assert (await refused(place.here, Draw(TOKENS, 1001))).wait_us is None
        assert (await refused(place.here, Draw(BUDGET, 10**15 + 1))).wait_us is None

    run(work)


def test_less_of_a_wish_is_given_as_less_is_left_and_nothing_at_the_end(run: Run) -> None:
    async def work(place: Place) -> None:
        given = []
        while True:
            result = await drawn(place.here, Draw(TOKENS, 10, 10_000))
            if isinstance(result, Shortage):
                break
            given.append(result[0].units - 10)
        assert given[0] > 50
        assert given == sorted(given, reverse=True)
        assert given[-1] == 0
        assert sum(given) + 10 * len(given) > 990

    run(work)


def test_what_is_given_back_can_be_drawn_by_others(run: Run) -> None:
    async def work(place: Place) -> None:
        for limit in (TOKENS, BUDGET):
            await granted(place.here, Draw(limit, limit.units))
            await refused(place.there, Draw(limit, 1))
            place.here.give([Return(limit, limit.units // 2, limit.units // 2, AT)], AT)
            await place.settle()
            [grant] = await granted(place.there, Draw(limit, limit.units // 2))
            assert grant.left == 0

    run(work)


def test_what_was_used_beyond_what_was_drawn_is_taken_whether_it_fits_or_not(run: Run) -> None:
    async def work(place: Place) -> None:
        await granted(place.here, Draw(TOKENS, 900))
        place.here.give([Return(TOKENS, -200, 1100, AT)], AT)
        await place.settle()
        assert (await refused(place.there, Draw(TOKENS, 1)))[:3] == (0, 1100, MINUTE)

    run(work)


def test_a_bucket_takes_a_request_of_any_size_while_it_is_not_over_full_and_leaks(run: Run) -> None:
    async def work(place: Place) -> None:
        await granted(place.here, Draw(BUCKET, 130))
        shortage = await refused(place.there, Draw(BUCKET, 1))
        assert shortage.wait_us == 30 * SECOND
        await granted(place.there, Draw(BUCKET, 500), at=AT + 30 * SECOND)

    run(work)


def test_a_shortage_says_what_others_have_not_used_until_they_say_that_they_have_nothing(run: Run) -> None:
    async def work(place: Place) -> None:
        [ahead] = await granted(place.here, Draw(TOKENS, 100, 100))
        idle = ahead.units - 100
        assert idle > 0
        await granted(place.there, Draw(TOKENS, ahead.left))
        shortage = await refused(place.there, Draw(TOKENS, 10))
        assert shortage.idle >= idle
        await place.settle()
        assert place.here.scarce == {"tokens"}
        [again] = await granted(place.here, Draw(REQUESTS, 1, 4))
        assert again.units > 1  # Of another limit there is enough.
        place.here.give([Return(TOKENS, 0, ahead.units, AT)], AT)
        await place.settle()
        assert (await refused(place.there, Draw(TOKENS, 10))).idle == 0

    run(work)


def test_of_what_is_scarce_nothing_is_given_ahead_and_scarcity_passes(run: Run) -> None:
    async def work(place: Place) -> None:
        await granted(place.here, Draw(BUDGET, 10**15))
        await refused(place.there, Draw(BUDGET, 1))
        place.here.give([Return(BUDGET, 10**15, 0, AT)], AT)
        await place.settle()
        [grant] = await granted(place.there, Draw(BUDGET, 1, 1000))
        assert grant.units == 1
        later = AT + max(SCARCE_US, KEEPER_SCARCE_US) + 1
        place.here.tick(later)
        place.there.tick(later)
        await place.settle()
        assert place.here.scarce == place.there.scarce == frozenset()
        [grant] = await granted(place.there, Draw(BUDGET, 1, 1000), at=later)
        assert grant.units == 1001

    run(work)


def test_a_clock_that_goes_back_a_little_stands_still(run: Run) -> None:
    async def work(place: Place) -> None:
        await granted(place.here, Draw(TOKENS, 1000), at=AT + MINUTE)
        assert (await refused(place.there, Draw(TOKENS, 1), at=AT + MINUTE - 5 * SECOND))[:3] == (0, 1000, MINUTE)

    run(work)


@pytest.mark.parametrize("run", ["process", "valkey"], indirect=True)
def test_a_clock_that_was_hours_ahead_and_is_set_right_holds_nothing_up(run: Run) -> None:
    """Windows begin anew, buckets leak on from now, budgets stay as they are."""

    async def work(place: Place) -> None:
        ahead = AT + 3 * HOUR
        await granted(place.here, Draw(TOKENS, 1000), Draw(BUCKET, 200), Draw(BUDGET, 10**14), at=ahead)
        await refused(place.there, Draw(TOKENS, 1), at=ahead)
        assert (await refused(place.there, Draw(BUCKET, 1), at=AT))[:3] == (0, 200, 100 * SECOND)
        [tokens, budget] = await granted(place.there, Draw(TOKENS, 400, 400), Draw(BUDGET, 1), at=AT)
        assert (tokens.taken_at, tokens.left + tokens.units) == (AT, 1000)
        assert budget.left == 10**15 - 10**14 - 1
        assert tokens.units > 400  # Nor is it scarce for hours, and who went by that clock shares in nothing.
        later = AT + 100 * SECOND
        await granted(place.there, Draw(BUCKET, 1), Draw(TOKENS, 0), at=later)
        place.here.give([Return(TOKENS, 1000, 0, ahead)], later)  # Of a window that never was.
        await place.settle()
        assert (await granted(place.there, Draw(TOKENS, 1), at=later))[0].left == 999

    run(work)


def test_a_bucket_takes_back_late_what_it_still_holds_and_no_more(run: Run) -> None:
    async def work(place: Place) -> None:
        (kept,) = await granted(place.here, Draw(BUCKET, 90))
        await granted(place.there, Draw(BUCKET, 100), at=AT + SECOND)
        place.here.give([Return(BUCKET, 80, 10, kept.taken_at)], AT + 31 * SECOND)  # 159 are left, 80 of them unused.
        await place.settle()
        (again,) = await granted(place.here, Draw(BUCKET, 10), at=AT + 31 * SECOND)
        assert again.left == 100 - (159 - 80) - 10
        place.here.give([Return(BUCKET, 10, 0, again.taken_at)], AT + 120 * SECOND)  # It was empty in between.
        await place.settle()
        assert (await granted(place.here, Draw(BUCKET, 1), at=AT + 120 * SECOND))[0].left == 99

    run(work)


def test_asking_for_nothing_tells_what_is_used_and_takes_nothing(run: Run) -> None:
    async def work(place: Place) -> None:
        await granted(place.here, Draw(TOKENS, 300))
        for _ in range(2):
            told = await granted(place.there, Draw(TOKENS, 0), Draw(REQUESTS, 0))
            assert [(grant.units, grant.left) for grant in told] == [(0, 700), (0, 10)]

    run(work)


def test_gateways_grow_together_and_a_quarter_goes_by_the_one_before(run: Run) -> None:
    """What one uses at priority, the other one knows of when it asks next, wherever that is counted."""
    rules = PriorityRules(growth_percent=50, tokens_per_minute_free=10)

    async def work(place: Place) -> None:
        at = AT - AT % QUARTER
        desks = Desk(place.here), Desk(place.there)
        here, there = (Ramps(desk) for desk in desks)

        async def has_room(ramps: Ramps, at: int) -> bool:
            """As the second request of two finds it, the first of which had to ask."""
            ramps.has_room("search/chat", rules, at)
            await place.settle()
            return ramps.has_room("search/chat", rules, at)

        assert await has_room(here, at)
        hold = desks[0].hold([here.need("search/chat", 100, at)], at)
        assert hold is not None
        await place.settle()
        assert not await has_room(there, at + SECOND)
        hold.settle({"input_tokens": 100, "output_tokens": 1400}, "priority", at + SECOND)
        await place.settle()
        later = at + QUARTER  # Of 1,500 tokens 150 are allowed for the first minute.
        assert await has_room(there, later)
        for units, asked_at, fits in ((149, later + SECOND, True), (1, later + 2 * SECOND, False)):
            assert desks[1].hold([there.need("search/chat", units, later)], later) is not None
            await place.settle()
            assert await has_room(here, asked_at) is fits
        assert await has_room(here, at + 3 * QUARTER)

    run(work)
