"""A hundred months of budgets that come and go: counters stay few, and what is forgotten is not granted again."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.admission.weighed import OwnBase, Scale, WeighedCounters
from entrepot.core.budgets import Budget, OwnedBudget, Standing, Standings
from entrepot.core.capacity import Limit
from entrepot.core.counter_language import Words, answer
from entrepot.core.drawing import Answered, Drawing
from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.periods import DAY, HOUR, Instant
from entrepot.core.shared_counters import SharedCounters
from entrepot.ports.counters import Counters
from tests.support.budgets import KeptStandings

MONTHS = 100
DAYS = 30
UNITS = 1_000
EACH = 40
START: Instant = 20_000 * DAY


class Request(NamedTuple):
    """One that is open. taken_at: of its units."""

    limit: Limit
    gateway: "Room"
    taken_at: Instant


class Room:
    """One gateway. sizes: how many counters it remembers, in each place where it does."""

    def __init__(self, name: str, counters: Counters, scale: Scale, sizes: Callable[[], list[int]]) -> None:
        self.name = name
        self.standings = KeptStandings()
        self.counters = WeighedCounters(counters, scale, self.standings, name)
        self._sizes = sizes

    def sizes(self) -> list[int]:
        return [*self._sizes(), len(self.counters._met), len(self.counters._weights)]


class Together:
    """Gateways that a process keeps the counters for."""

    def __init__(self) -> None:
        self.at = START
        self.keeper = SharedCounters("one")

    def room(self, name: str) -> Room:
        def send(words: Words, done: Answered) -> None:
            done(answer(self.keeper, words, self.at))

        drawing = Drawing(name, send)
        drawing.connected()
        return Room(name, _Drawing(drawing), drawing, lambda: [len(drawing._known), len(drawing._weighed)])

    def sizes(self) -> list[int]:
        held = sum(len(kept.held) for kept in self.keeper._kept.values())
        return [len(self.keeper._kept), held, len(self.keeper._generations), len(self.keeper._leases)]

    def sweep(self, at: Instant) -> None:
        self.at = at
        self.keeper.sweep(at)


class _Drawing:
    """Meets the port Counters."""

    def __init__(self, drawing: Drawing) -> None:
        self.draw = drawing.draw
        self.give = drawing.give
        self.tick = drawing.tick
        self._drawing = drawing

    @property
    def scarce(self) -> set[str]:
        return self._drawing.scarce


class Alone:
    """One gateway that keeps its own."""

    def room(self, name: str) -> Room:
        place = MemoryCounters()

        def correct(limit: Limit, more: int, at: Instant) -> None:
            place.give("books", [Return(limit, -more, 0, at)], at)

        base = OwnBase(name, correct, place.drop)
        return Room(name, place.holder(name), base, lambda: [len(place._kept), len(base._bases)])

    def sizes(self) -> list[int]:
        return []

    def sweep(self, at: Instant) -> None:
        """Its gateway does that."""


class Life:
    """What happens, and what the books make of it. truth: units by counter, as whoever knows all would count them."""

    def __init__(self, seed: int, place: Together | Alone) -> None:
        self.chance = random.Random(seed)
        self.place = place
        self.at = START
        self.truth: Counter[str] = Counter()
        self.limits: dict[str, Limit] = {}
        self.rooms: list[Room] = []
        self.open: list[Request] = []
        self.log: list[tuple[Limit, str, int, int]] = []  # (of, by, held, counted), in the order of the log.
        self.folded = 0
        self.held: dict[str, Counter[str]] = {}
        self.counted: dict[str, Counter[str]] = {}
        self.spent: Counter[str] = Counter()
        self.through = START
        self.granted = self.refused = 0

    def begin(self, name: str) -> None:
        self.rooms.append(self.place.room(name))
        self.weigh(everything=True)

    def end(self, room: Room) -> None:
        """In order: it has ended its requests, and its counters are the books'."""
        for one in [one for one in self.open if one.gateway is room]:
            self.settle(one)
        self.rooms.remove(room)
        self.weigh(everything=True)

    def ask(self, room: Room, limit: Limit, units: int = EACH) -> bool:
        """Whether a request was admitted."""
        got: list[tuple[Grant, ...] | Shortage | None] = []
        room.counters.draw([Draw(limit, units, self.chance.choice([0, 3 * units]))], self.at, got.append)
        [result] = got
        assert result is not None, "the books know this budget"
        if isinstance(result, Shortage):
            self.refused += 1
            return False
        [grant] = result
        if grant.units > units:
            room.counters.give([Return(limit, grant.units - units, 0, grant.taken_at)], self.at)
        self.granted += 1
        self.truth[limit.id] += units
        assert self.truth[limit.id] <= limit.units, "granted twice"
        self.open.append(Request(limit, room, grant.taken_at))
        self.log.append((limit, room.name, units, 0))
        return True

    def settle(self, one: Request) -> None:
        used = self.chance.randrange(EACH + 1)
        self.open.remove(one)
        one.gateway.counters.give([Return(one.limit, EACH - used, used, one.taken_at)], self.at)
        self.truth[one.limit.id] -= EACH - used
        self.log.append((one.limit, one.gateway.name, -EACH, used))

    def weigh(self, *, everything: bool) -> None:
        """The books read on, and say what they know of the budgets there are."""
        ahead = len(self.log) if everything else self.chance.randrange(self.folded, len(self.log) + 1)
        for limit, name, units, used in self.log[self.folded : ahead]:
            self.held.setdefault(limit.id, Counter())[name] += units
            self.counted.setdefault(limit.id, Counter())[name] += used
            self.spent[limit.id] += used
        self.folded = ahead
        self.through = self.at if ahead == len(self.log) else self.through
        living = [room.name for room in self.rooms]

        def of_the_living(units: Counter[str]) -> dict[str, int]:
            return {name: units[name] for name in living if units[name]}

        rows = [
            Standing(
                *(OWNED, limit, "", self.spent[name]),
                of_the_living(self.held.get(name, Counter())),
                of_the_living(self.counted.get(name, Counter())),
            )
            for name, limit in self.limits.items()
        ]
        told = Standings(2, self.at, 0, ahead, tuple(living), tuple(rows), self.through)
        for room in self.rooms:
            room.standings.publish(told)
            room.counters.tick(self.at)

    def sizes(self) -> list[int]:
        """How many counters each memory has."""
        rooms = [room.sizes() for room in self.rooms]
        return [*map(sum, zip(*rooms, strict=True)), *self.place.sizes()]


OWNED = OwnedBudget("customer", "acme", "acme", Budget(UNITS))


def declared(month: int) -> dict[str, Limit]:
    """Months as the books have them, a budget that comes and goes, one that stays, and keys of three months each."""
    names = [f"customer/acme/monthly/{number}" for number in (month - 1, month, month + 1)]
    names += [f"key/{number}/total" for number in (month - 1, month)]
    names += ["customer/acme/total"] + (["project/search/total"] if month // 3 % 2 else [])
    sizes = {"customer/acme/total": 20_000, "project/search/total": 10_000}
    return {name: Limit(name, "tokens", "budget", sizes.get(name, UNITS)) for name in names}


def in_use(month: int) -> Iterator[str]:
    yield f"customer/acme/monthly/{month}"
    yield f"key/{month}/total"
    if month % 2:
        yield "customer/acme/total"
    if month // 3 % 2:
        yield "project/search/total"


def a_month(life: Life, month: int) -> None:
    """Requests come, end and are booked, late and early; what remains at its end is what the counters say."""
    life.limits = declared(month)
    if month % 7 == 3:  # Another gateway in the place of one.
        life.end(life.rooms[0])
        life.begin(f"gateway-{month}")
    for _ in range(DAYS):
        life.at += DAY
        life.weigh(everything=life.chance.random() < 0.7)
        life.place.sweep(life.at)
        for name in in_use(month):
            for room in life.rooms:
                for _ in range(life.chance.choice([0, 1, 2])):
                    life.ask(room, life.limits[name])
        life.at += HOUR
        for one in list(life.open):
            if life.chance.random() < 0.9:
                life.settle(one)
        life.at -= HOUR
    for one in list(life.open):
        life.settle(one)
    life.at += DAY
    life.weigh(everything=True)
    for name in in_use(month):
        left = life.limits[name].units - life.truth[name]
        assert fits(life, life.limits[name], left), f"{name} has {left} left in truth"
        assert not fits(life, life.limits[name], left + 1)


def fits(life: Life, limit: Limit, units: int) -> bool:
    """Whether so many could be drawn now."""
    got: list[tuple[Grant, ...] | Shortage | None] = []
    room = life.chance.choice(life.rooms)
    room.counters.draw([Draw(limit, units)], life.at, got.append)
    [result] = got
    if result is None or isinstance(result, Shortage):
        return False
    room.counters.give([Return(limit, units, 0, result[0].taken_at)], life.at)
    return True


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("place", [Alone, Together])
def test_a_hundred_months_later_nothing_has_grown_and_nothing_was_granted_twice(
    place: type[Alone | Together], seed: int
) -> None:
    life = Life(seed, place())
    life.limits = declared(0)
    for number in range(1 if place is Alone else 2):
        life.begin(f"gateway-of-the-start-{number}")
    sizes = []
    for month in range(MONTHS):
        a_month(life, month)
        sizes.append(life.sizes())
    assert life.granted > 1_000
    assert life.refused > 100
    early, late = (list(map(max, zip(*part, strict=True))) for part in (sizes[10:30], sizes[-20:]))
    print(
        f"\n{place.__name__}, seed {seed}: {life.granted} granted, {life.refused} refused; counters {early} then {late}"
    )
    assert late == pytest.approx(early, abs=4)
    assert max(late) < 30
