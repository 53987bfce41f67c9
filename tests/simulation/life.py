"""A life of the whole product in one process: log, store, rating, ledger, invoices, from one seed, with faults.

Gateways serve requests of a scripted upstream and write usage; the worker's own loop folds, resolves, marks and posts;
months are closed in between. Disk, log, gateways, worker, store, upstream and clock fail by chance. In the end all is
well again, what is open is resolved, the months are closed, and every token and every pico is counted (judge.py).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.sql.books import SqliteBooks
from entrepot.adapters.sql.database import Database
from entrepot.compose.worker import keep_folding
from entrepot.core.catalog import Upstream
from entrepot.core.errors import BooksUnavailable, UsageLogUnavailable
from entrepot.core.invoices import Invoice
from entrepot.core.log_records import Admitted, LogRecord, MonthClosed, MonthSettled, WorldApplied
from entrepot.core.periods import HOUR, MINUTE, SECOND
from entrepot.core.world import encode_world
from entrepot.ports.event_log import Told
from entrepot.ports.upstream_usage import ServedUsage
from entrepot.workers import fold
from tests.simulation.backups import Backups
from tests.simulation.clerk import Clerk
from tests.simulation.machine import Crash, Gateway, Machine
from tests.simulation.office import BEGINS, LAST_CLOSE, MONTHS, world
from tests.support.budgets import KeptStandings
from tests.support.memory_log import ManualClock

STEPS = 400
STEPS_PER_BACKUP = 25
QUIET_STEPS_MAX = 2000


@dataclass
class Request:
    """A request: what its upstream made of it, and how far it came. answered: its client saw the end."""

    admitted: Admitted
    state: str = "admitted"  # running, over
    served: ServedUsage = field(default_factory=lambda: ServedUsage("unknown"))
    usage: tuple[int, int, int] = (0, 0, 0)  # Prompt, cached, answer.
    counted: int = 0
    answered: bool = False
    may_be_estimated: bool = False


class Life:
    """One run. Call `live`, then judge.faults_of. steps: how much happens."""

    def __init__(self, seed: int, steps: int = STEPS) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.clock = ManualClock(BEGINS + self.chance.randrange(7 * HOUR))
        self.machine = Machine(self.chance, self.clock, kept_is_safe=seed % 3 == 2)
        self.backups = Backups(self.machine)
        self.requests: dict[str, Request] = {}
        self.clerk = Clerk(self.machine, self.chance)
        self.issued: dict[str, Invoice] = {}
        self.altered: list[str] = []
        self.deeds: dict[str, int] = {}
        self._upstream_is_silent = False
        self._store_faults = 0.0
        self._steps = steps
        self._is_quiet = False
        self._sleepy = self.chance.random() < 0.3  # Clocks of this life jump.
        self._faulty = self.chance.choice((0.0, 0.005, 0.02, 0.1))
        self._tick_max = self.chance.choice((12, 40)) * MINUTE
        self.books = self._open_books()

    def live(self) -> None:
        """All of it, to the last close."""
        self._begin()
        while self._steps > 0:
            self._work()
        self._heal()
        self._settle()
        for _ in range(self.chance.randrange(8)):  # Of a month that is closed there is usage still, and less of it.
            self.clerk.act(self.books, MONTHS[0])
            self._work()
        self.clock.at = LAST_CLOSE
        self.clerk.record(*(MonthClosed(at=LAST_CLOSE, period=month) for month in MONTHS))
        self.clerk.record(*(MonthSettled(at=LAST_CLOSE, period=month) for month in MONTHS))
        self._work()
        fold(self.books, DiskLogReader(self.machine.disk))  # With the mark that the worker set in the end.
        self._remember()

    def _work(self) -> None:
        """The worker's own loop, until it ends; what happens beside it happens in its pauses."""
        try:
            reader = DiskLogReader(self.machine.disk)
            keep_folding(self.books, reader, self, self, self.clock, self._pause, KeptStandings(), self._note)
        except (Crash, BooksUnavailable):
            self._note("worker ends")
            self._store_faults *= self.chance.choice((0, 1))
            if self.chance.random() < 0.05:
                self._note("books lost")
                self._remember()
                self.books.close()
                self.books = self._open_books()
            with suppress(Crash):  # The worker is not there to be ended.
                for _ in range(self.chance.randrange(4)):
                    self._happen()

    def append(self, records: Sequence[LogRecord]) -> None:
        """What the worker appends. Meets the port EventLog."""
        self.clerk.record(*records)
        roll = self.chance.random()
        if roll < self._faulty:
            raise Crash
        if roll < 2 * self._faulty:
            raise UsageLogUnavailable("the answer was lost", retry_after_s=1)

    def served(self, upstream: Upstream, request_id: str) -> ServedUsage | None:
        """What the upstream says. Meets the port UpstreamUsage."""
        assert upstream.id == "east"
        request = self.requests[request_id]
        if self._upstream_is_silent or request.served.state == "running":
            for other in self.requests.values():  # One that is silent is not asked about the others.
                other.may_be_estimated = True
            return None if self._upstream_is_silent else request.served
        return request.served

    def _pause(self, seconds: float) -> bool:
        if self._steps % STEPS_PER_BACKUP == 0:
            self._back_up()
        if self._is_quiet:
            self._steps -= 1
            assert self._steps > -QUIET_STEPS_MAX, "the worker never comes to rest"
            return seconds > 0
        for _ in range(self.chance.randrange(1, 8)):
            self._happen()
        if self.chance.random() < self._faulty / 2:
            raise Crash
        return self._steps <= 0

    def _open_books(self) -> SqliteBooks:
        database = Database(":memory:")
        for name in ("execute", "execute_many", "insert_many", "all"):
            setattr(database, name, self._failing(getattr(database, name)))
        return SqliteBooks(database)

    def _failing(self, do: Callable[..., Any]) -> Callable[..., Any]:
        """The same act, which fails at times: before it is done, or behind a commit that nobody hears of."""

        def done(sql: str, *values: Any, **more: Any) -> Any:
            if self._store_faults and self.chance.random() < self._store_faults:
                if sql == "COMMIT" and self.chance.random() < 0.5:
                    do(sql, *values, **more)
                raise BooksUnavailable("planted: the disk of the books failed")
            return do(sql, *values, **more)

        return done

    def _begin(self) -> None:
        self.machine.start_log()
        self.clerk.record(WorldApplied(at=0, world=encode_world(world())))
        for _ in range(2):
            self.machine.start_gateway()

    def _happen(self) -> None:
        self._steps -= 1
        machine, chance = self.machine, self.chance
        machine.start_log()
        machine.take_in()
        while len(machine.gateways) < 2 and machine.log is not None and chance.random() < 0.7:
            machine.start_gateway()
        roll = chance.random()
        if roll < 0.90 or not self._faulty:
            self._ordinary()
        else:
            self._note(self._misfortune())

    def _back_up(self) -> None:
        """Waits for a log process, which finds the log's end after a power cut. What was answered before is in it where
        answers wait for the disk, and the disk did not keep the writer from saying how far the log goes.
        """
        log = self.machine.log
        if log is not None:
            is_owed = not self.machine.kept_is_safe and not log.counters.failures
            self.backups.take([name for name, request in self.requests.items() if is_owed and request.answered])

    def _ordinary(self) -> None:
        act = self.chance.choices(("request", "go on", "flush", "tick", "office"), (24, 40, 20, 9, 14))[0]
        if act == "tick":
            self.clock.at += self.chance.randrange(self._tick_max)
        elif act == "office":
            self.clerk.act(self.books, MONTHS[0])
        elif self.machine.gateways:
            gateway = self.machine.gateways[self.chance.choice(sorted(self.machine.gateways))]
            if act == "request" and gateway.writer.available:
                self._admit(gateway)
            elif act == "go on":
                self._go_on(gateway)
            else:
                self._flush(gateway)

    def _misfortune(self) -> str:
        machine, chance = self.machine, self.chance
        kinds = {
            "disk fails": 4,
            "disk full": 2,
            "log killed": 2,
            "gateway killed": 4,
            "power cut": 2,
            "store fails": 3,
            "upstream silent": 2,
            "clock jumps": 3 if self._sleepy else 0,
        }
        kind = chance.choices(list(kinds), list(kinds.values()))[0]
        if kind == "disk fails":
            machine.spoil_disk(chance.choice((0.0, 0.05, 0.3)))
        elif kind == "disk full":
            machine.fill_disk()
        elif kind == "log killed":
            machine.kill_log()
        elif kind == "gateway killed" and machine.gateways:
            machine.kill_gateway(chance.choice(sorted(machine.gateways)))
        elif kind == "power cut":
            machine.cut_power()
            self._note(kind)
            raise Crash
        elif kind == "store fails":
            self._store_faults = chance.choice((0.0, 0.01, 0.2))
        elif kind == "upstream silent":
            self._upstream_is_silent = not self._upstream_is_silent
        elif kind == "clock jumps":
            self.clock.at += chance.choice((-3 * HOUR, -MINUTE, -1, SECOND, HOUR, 5 * HOUR))
        return kind

    def _admit(self, gateway: Gateway) -> None:
        chance, number = self.chance, len(self.requests)
        admitted = Admitted(
            id=f"{self.clock.at // 1000:012x}{number:020x}",
            at=self.clock.at,
            instance=gateway.name,
            customer=chance.choice(("acme", "beta")),
            project="p",
            deployment="chat",
            model="m",
            tier="default",
            upstream="east",
            key="key-1",
            prompt_tokens_estimate=7,
        )
        self.requests[admitted.id] = Request(admitted)
        gateway.writer.admit(admitted)

    def _go_on(self, gateway: Gateway) -> None:
        """One of the gateway's requests comes further. Those of a gateway that is gone end at their upstream."""
        for orphan in self.requests.values():
            is_orphan = orphan.state == "running" and orphan.admitted.instance not in self.machine.gateways
            if is_orphan and self.chance.random() < 0.3:
                self._end_upstream(orphan, "cancelled")
        mine = [item for item in self.requests.values() if item.admitted.instance == gateway.name]
        waiting = [item for item in mine if item.state != "over"]
        if not waiting:
            return
        request = self.chance.choice(waiting)
        if request.state == "admitted":
            self._reach(gateway, request)
        else:
            self._answer(gateway, request)

    def _reach(self, gateway: Gateway, request: Request) -> None:
        if self.chance.random() < 0.05:
            request.state = "over"
            gateway.writer.abandon(request.admitted, "upstream_failed", answered=False, output_tokens=0)
            return
        request.state, request.served = "running", ServedUsage("running")

    def _answer(self, gateway: Gateway, request: Request) -> None:
        chance = self.chance
        roll = chance.random()
        if roll < 0.4:
            request.counted += chance.randrange(1, 30)
            if chance.random() < 0.5:
                gateway.writer.progress([(request.admitted.id, request.counted)])
        elif roll < 0.85:
            self._end_upstream(request, "finished")
            prompt, cached, answer = request.usage
            meters = {"cached_input_tokens": cached, "input_tokens": prompt - cached, "output_tokens": answer}

            def done() -> None:
                request.answered = True

            is_told = chance.random() < 0.8  # Else the upstream knows, and did not say.
            gateway.writer.settle(
                request.admitted,
                meters if is_told else {"input_tokens": 7, "output_tokens": request.counted},
                source="reported" if is_told else "counted",
                outcome="stop",
                raw=request.served.usage if is_told else b"",
                waiter=Told(done, lambda: None),
                untold=None if is_told else (),
            )
        else:
            self._end_upstream(request, "cancelled")
            outcome = "client_left" if roll < 0.93 else "upstream_failed"
            gateway.writer.abandon(request.admitted, outcome, answered=True, output_tokens=request.counted)  # type: ignore[arg-type]

    def _end_upstream(self, request: Request, state: str) -> None:
        prompt = self.chance.randrange(1, 2000)
        cached = self.chance.choice((0, 0, prompt // 2)) if request.admitted.customer == "acme" else 0
        answer = request.counted + self.chance.randrange(300)
        request.state, request.usage = "over", (prompt, cached, answer)
        told = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
        body = msgspec.json.encode({**told, "prompt_tokens_details": {"cached_tokens": cached}})
        request.served = ServedUsage(state, body)  # type: ignore[arg-type]

    def _flush(self, gateway: Gateway) -> None:
        try:
            gateway.wire.flush(answer_is_lost=self.chance.random() < self._faulty)
        except Crash:
            self.machine.kill_gateway(gateway.name)

    def _heal(self) -> None:
        self.machine.heal()
        self._store_faults = self._faulty = 0.0
        self._upstream_is_silent = False
        self._is_quiet = True

    def _settle(self) -> None:
        """Everybody comes to an end: clients, gateways, upstreams; the worker asks for what is open."""
        self.machine.start_log()
        self.machine.take_in()
        for gateway in list(self.machine.gateways.values()):
            for request in self.requests.values():
                while request.admitted.instance == gateway.name and request.state != "over":
                    (self._reach if request.state == "admitted" else self._answer)(gateway, request)
            gateway.wire.flush()
            self.machine.kill_gateway(gateway.name)
        self.machine.take_in()
        for request in self.requests.values():
            if request.state == "running":
                self._end_upstream(request, "cancelled")
        for _ in range(4):  # A clock that was put back by hours comes to where it was.
            self.clock.at += 12 * HOUR
            self._work()

    def _remember(self) -> None:
        """Issued invoices must stay what they were, whatever happens to the books."""
        for invoice in self.books.invoices():
            if self.issued.setdefault(invoice.number, invoice) != invoice:
                self.altered.append(invoice.number)

    def _note(self, deed: str) -> None:
        self.deeds[deed] = self.deeds.get(deed, 0) + 1
