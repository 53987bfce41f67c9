"""Gateways that draw from one keeper of counters, on told time, over a network that is slow and breaks, from a seed."""

import heapq
import itertools
import random
from collections.abc import Callable
from typing import NamedTuple

from entrepot.admission.allotments import Allotment
from entrepot.core.capacity import Counter, Limit
from entrepot.core.counter_language import Words, answer
from entrepot.core.drawing import Answered, Drawing, Outcome
from entrepot.core.draws import Draw, Return, Shortage
from entrepot.core.periods import SECOND, Instant
from entrepot.core.shared_counters import SharedCounters

TICK_US = SECOND // 4
WAY_US_MAX = 150_000
START: Instant = 1_790_000_000 * SECOND


class Faults(NamedTuple):
    """How likely, at each tick of a gateway, its connection breaks, or it is killed; at each second, the keeper."""

    connection: float = 0
    gateway: float = 0
    keeper: float = 0


class Part(NamedTuple):
    """Units that a request holds, and when they were drawn."""

    units: int
    taken_at: Instant


class Room:
    """One gateway: what it has of one limit, and its requests."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self.world = world
        self.drawing = Drawing(name, self._send)
        self.connection = 0  # A number; 0 while there is none.
        self.allotment = Allotment(world.limit, self.drawing)
        self.asking = 0  # Units of requests that wait for an answer: it may be on its way.
        self.held: list[list[Part]] = []
        self.is_alive = True
        self.waiting: list[Answered] = []

    # ---- requests

    def ask(self, units: int, began: Instant) -> None:
        """A request arrives, or tries again."""
        if not self.is_alive:
            return
        self.allotment.advance(self.world.at)
        taken_at = self.allotment.taken_at
        part = Part(self.allotment.take(units), taken_at)
        if part.units == units:
            self._admit([part])
            return
        self.asking += units
        wish = 0 if self.world.limit.id in self.drawing.scarce else 3 * units
        draw = Draw(self.world.limit, units - part.units, wish)
        self.drawing.draw([draw], self.world.at, lambda outcome: self._drawn(units, part, began, outcome))

    def _drawn(self, units: int, part: "Part", began: Instant, outcome: Outcome) -> None:
        if not self.is_alive:
            return
        self.asking -= units
        if outcome is None or isinstance(outcome, Shortage):
            self._put_back(part)
            self.world.let_go(part.units)
        if isinstance(outcome, Shortage):
            if outcome.idle and self.world.at - began < 2 * SECOND:
                self.world.later(TICK_US, lambda: self.ask(units, began))
            else:
                self.world.refused(units)
        elif outcome is not None:
            missing = units - part.units
            self.allotment.granted(outcome[0], missing)
            self._admit([part, Part(missing, outcome[0].taken_at)])

    def _put_back(self, part: "Part") -> None:
        """Units that are not used are free for the next request."""
        self.allotment.advance(self.world.at)
        self.allotment.put_back(part.units, part.taken_at)

    def _admit(self, parts: "list[Part]") -> None:
        self.held.append(parts)
        for part in parts:
            self.world.admitted(part)
        at = self.world.at
        self.world.later(self.world.chance.randrange(10_000, 3 * SECOND), lambda: self._settle(parts, at))

    def _settle(self, parts: "list[Part]", admitted_at: Instant) -> None:
        if not self.is_alive:
            return
        self.held.remove(parts)
        for part in parts:
            free = self.world.chance.randrange(0, part.units + 1)
            self.world.freed(free, admitted_at if self.world.limit.refill == "bucket" else part.taken_at)
            self._give(free, part.taken_at)

    def _give(self, units: int, taken_at: Instant) -> None:
        if units:
            self.drawing.give([Return(self.world.limit, units, 0, taken_at)], self.world.at)

    # ---- time

    def tick(self) -> None:
        if not self.is_alive:
            return
        chance, faults = self.world.chance, self.world.faults
        if not self.connection:
            self._connect()
        elif chance.random() < faults.connection:
            self.cut()
        elif chance.random() < faults.gateway:
            self.cut()
            self.is_alive = False
            return
        self.drawing.tick(self.world.at)
        self.allotment.sweep(self.world.at)
        self.world.later(TICK_US, self.tick)

    # ---- network

    def _connect(self) -> None:
        self.connection = next(self.world.numbers)
        self.waiting = []
        self.drawing.connected()

    def cut(self) -> None:
        """Ends the connection; what is on its way to the keeper may still arrive, what is on its way back does not."""
        self.connection = 0
        waiting, self.waiting = self.waiting, []
        self.drawing.disconnected()
        for done in waiting:
            done(None)

    def _send(self, words: Words, done: Answered) -> None:
        if not self.connection:
            done(None)
            return
        self.waiting.append(done)
        self.world.carry(self, self.connection, words)

    def hear(self, connection: int, words: Words) -> None:
        """An answer arrives."""
        if self.is_alive and connection == self.connection:
            self.waiting.pop(0)(words)


class World:
    """Everything that happens, in order."""

    def __init__(self, seed: int, limit: Limit, gateways: int, faults: Faults) -> None:
        self.chance = random.Random(seed)
        self.limit = limit
        self.faults = faults
        self.at = START + self.chance.randrange(60 * SECOND)
        self.numbers = itertools.count(1)
        self._events: list[tuple[Instant, int, Callable[[], None]]] = []
        self._arrives: dict[int, Instant] = {}
        self.keeper = SharedCounters("first")
        self.truth = Counter()  # What has been admitted and not been given back, by those who know.
        self.peak = 0
        self.admissions = self.refusals = self.wrong_refusals = 0
        self.restarts = 0
        self.rooms = [Room(self, f"gateway {number}") for number in range(gateways)]
        self._ended: list[tuple[Instant, int]] = []
        for room in self.rooms:
            self.later(self.chance.randrange(TICK_US), room.tick)
        if faults.keeper:
            self.later(SECOND, self._maybe_restart)

    def later(self, wait_us: int, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.at + wait_us, next(self.numbers), do))

    def run(self, until: Instant) -> None:
        while self._events and self._events[0][0] <= until:
            self.at, _, do = heapq.heappop(self._events)
            do()
        self.at = until

    def carry(self, room: Room, connection: int, words: Words) -> None:
        """To the keeper and back, in order on each connection; to one that has gone, nothing."""
        keeper = self.keeper

        def arrive() -> None:
            if keeper is self.keeper:
                said = answer(keeper, words, self.at)
                self.later(self._delay(-connection), lambda: room.hear(connection, said))

        self.later(self._delay(connection), arrive)

    def admitted(self, part: Part) -> None:
        """Notes it where what was taken still counts."""
        self.admissions += 1
        if self.limit.refill != "window" or part.taken_at // self.limit.window == self.at // self.limit.window:
            self.truth.take(self.limit, part.units, self.at)
        self.peak = max(self.peak, self.truth.used(self.limit, self.at))

    def freed(self, units: int, taken_at: Instant) -> None:
        """Notes what was not used."""
        self.truth.give(self.limit, units, taken_at, self.at)
        self.let_go(units)

    def let_go(self, units: int) -> None:
        """Notes what a request held until now, so that nobody could know of it yet."""
        self._ended.append((self.at, units))

    def refused(self, units: int) -> None:
        """Notes a refusal, and whether there was room for the request, for as long as anybody could need to know."""
        self.refusals += 1
        asking = sum(room.asking for room in self.rooms)
        lately = asking + sum(freed for at, freed in self._ended if at > self.at - SECOND)
        if self.limit.refill == "budget" and self.truth.used(self.limit, self.at) + lately + units <= self.limit.units:
            self.wrong_refusals += 1

    def _delay(self, way: int) -> int:
        """Microseconds, so that nothing overtakes on a way."""
        arrives = max(self._arrives.get(way, 0), self.at + self.chance.choice([200, 1_000, 30_000, WAY_US_MAX]))
        self._arrives[way] = arrives
        return arrives - self.at

    def _maybe_restart(self) -> None:
        if self.chance.random() < self.faults.keeper:
            self.restarts += 1
            self.keeper = SharedCounters(f"life {self.restarts}")
            for room in self.rooms:
                if room.connection:
                    room.cut()
        self.later(SECOND, self._maybe_restart)
