"""The whole product, hurt at random while it serves, then counted against what its upstreams say they served.

One seed decides the requests, when they are sent, and what happens to whom when. Time and the scheduler are real, so a
seed repeats the plan, not the interleaving; a run that fails prints its seed and keeps its directory.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from entrepot.adapters.machine_counters import MachineCounters
from entrepot.compose.budgets import current_budgets
from entrepot.compose.settings import load_settings
from entrepot.compose.usage_log import open_log_reader
from entrepot.core.capacity import Limit
from entrepot.core.drawing import Outcome
from entrepot.core.draws import Draw, Shortage
from entrepot.core.money import PICO, parse_pico
from entrepot.ports.event_log import START
from tests.scripted_account import last_lines
from tests.simulation.crash_batches import BatchClient
from tests.simulation.crash_clients import Clients
from tests.simulation.crash_counts import Counts, Lines, Logged
from tests.simulation.crash_misfortunes import KINDS, MISFORTUNES_MAX, VICTIMS, Fate, plan_misfortunes
from tests.simulation.crash_plan import plan_requests
from tests.simulation.crash_processes import Product, Upstream, tries
from tests.simulation.crash_talks import Talks
from tests.simulation.crash_world import BUDGET, BUDGET_DOLLARS, world_text

WORKERS = 2
SETTLED_S_MAX = 60.0


@dataclass
class Finding:
    """What one run found. faults is empty when every token is where it belongs.

    lost: gateways in the order in which they were gone, killed or stopped. cut: {gateway: what it said} of those that
    broke an answer off which nobody had meant to break.
    """

    seed: int
    requests: int
    answered: int = 0
    broken: int = 0
    left: int = 0
    misfortunes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    cut: dict[str, str] = field(default_factory=dict)
    served: int = 0
    booked: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The run in one line."""
        verdict = "equal" if not self.faults else f"{len(self.faults)} FAULTS"
        return (
            f"seed {self.seed}: {self.requests} requests, {self.answered} answered, {self.broken} broken off, "
            f"{self.left} left by the client; {', '.join(self.misfortunes) or 'no misfortune'}; "
            f"upstreams served {self.served}, books hold {self.booked} {self.sources}: {verdict}"
        )


class CrashRun:
    """One seeded run in its own directory. Call `find`.

    kinds, victims, at_most: what may happen, to whom, and how often at most. waits_for: what answers wait for, as the
    setting of that name says it.
    """

    def __init__(
        self,
        seed: int,
        directory: Path,
        requests: int = 200,
        *,
        workers: int = WORKERS,
        kinds: Sequence[str] = KINDS,
        victims: Sequence[str] = VICTIMS,
        at_most: int = MISFORTUNES_MAX,
        waits_for: str = "disk",
    ) -> None:
        self._chance = chance = Random(seed)
        self._plan = plan_requests(chance, requests)
        self._misfortunes = plan_misfortunes(chance, kinds, victims, at_most)
        environment = {
            "ENTREPOT_GATEWAY_WORKERS": str(workers),
            "ENTREPOT_ANSWERS_WAIT_FOR": waits_for,
            "ENTREPOT_DRAIN_SECONDS": chance.choice(("1", "2", "20")),
            "ENTREPOT_COUNTERS_LOST": chance.choice(("closed", "open 10%")),
        }
        self._world = directory / "world.yaml"
        self._product = Product(directory, environment)
        self._talks = Talks(chance)
        self._upstreams = [Upstream(directory / f"served-{number}.jsonl") for number in range(2)]
        self.finding = Finding(seed, requests)

    def find(self) -> Finding:
        """Serves, is hurt, waits until all is settled, and compares."""
        try:
            booked = asyncio.run(self._serve())
            self._compare(booked)
        finally:
            self._product.stop()
            for upstream in self._upstreams:
                upstream.kill()
        return self.finding

    async def _serve(self) -> dict[str, Any]:
        """What is booked when all is over."""
        await self._talks.start()
        key, guest = await asyncio.to_thread(self._begin)
        self._fate = Fate(self._product, self._upstreams, self._world, self._base_urls(), guest["id"])
        self._clients = Clients(self._product, key["key"], guest["key"])
        self._batch = BatchClient(self._product, key["key"], self._chance)
        await asyncio.gather(
            self._clients.send_all(self._plan),
            self._batch.run(),
            self._talks.hold_all(self._product, key["key"]),
            self._fate.befall(self._misfortunes),
        )
        booked = await self._calm()
        await self._talks.stop()
        return booked

    async def _calm(self) -> dict[str, Any]:
        """What is booked once a gateway that goes on has answered: its counter of the budget knows what the books know.

        A reload takes its time, so the one that answered may have been about to end.
        """
        while True:
            gateway = await self._clients.ask_afterwards()
            booked = await asyncio.to_thread(self._settled)
            if gateway not in self._logged().lost:
                return booked

    def _begin(self) -> tuple[Any, Any]:
        """The key of the project, and one that may be revoked, where that is going to happen."""
        for upstream in self._upstreams:
            upstream.start()
        self._world.write_text(world_text(self._base_urls()))
        self._product.entrepot("apply", str(self._world))
        key = json.loads(self._product.entrepot(*_CREATE_KEY))
        is_revoked = any(misfortune.kind == "revoke" for misfortune in self._misfortunes)
        guest = json.loads(self._product.entrepot(*_CREATE_KEY)) if is_revoked else key
        self._product.start()
        return key, guest

    def _base_urls(self) -> list[str]:
        return [*(upstream.base_url for upstream in self._upstreams), self._talks.base_url]

    def _settled(self) -> dict[str, Any]:
        """What is booked once every request is over and all of them are, or at the end of patience."""
        for _ in tries(SETTLED_S_MAX):
            logged, served = self._logged(), self._served()
            is_over = all(line["state"] != "running" for lines in served for line in lines.values())
            admitted = logged.admitted.keys()
            if is_over and admitted <= logged.events.keys() and not logged.untold():
                booked = self._booked()
                if admitted <= booked.keys():
                    return booked
        return self._booked()

    def _logged(self) -> Logged:
        return Logged(record for _, record in open_log_reader(self._product.home).read(START, 1_000_000))

    def _served(self) -> list[Lines]:
        return [last_lines(upstream.state) for upstream in self._upstreams]

    def _booked(self) -> dict[str, Any]:
        """{request id: its record}, as the books export it."""
        lines = self._product.entrepot("usage", "export", "--format", "jsonl").splitlines()
        return {item["id"]: item for item in map(json.loads, lines)}

    def _compare(self, booked: Lines) -> None:
        logged = self._logged()
        served = [*self._served(), self._talks.served(logged)]
        finding, clients, batch = self.finding, self._clients, self._batch
        finding.answered, finding.broken, finding.left = len(clients.told), clients.broken, clients.left
        finding.misfortunes = [str(misfortune) for misfortune in self._fate.happened]
        finding.lost, finding.cut = logged.lost, clients.cut
        finding.served, finding.booked = sum(map(len, served)), len(booked)
        finding.sources = dict(Counter(str(record["source"]) for record in booked.values()))
        finding.faults += batch.faults
        told = clients.told | batch.told | self._talks.told
        finding.faults += Counts(logged, served, booked, told, clients.answered_by).faults()
        finding.faults += self._held()
        try:
            self._product.entrepot("verify")
        except AssertionError as error:
            finding.faults.append(f"verify: {error}")

    def _held(self) -> list[str]:
        """What the budget is wrong about: its counter must come to what is spent, and nothing be held any more."""
        settings = load_settings({}, {"home": str(self._product.home)})
        [budget] = current_budgets(settings)
        faults = [] if parse_pico(budget.held) == 0 else [f"the budget still holds: {budget}"]
        spent = parse_pico(budget.spent)
        used = asyncio.run(self._used(settings.counter_socket, spent))
        return faults if used == spent else [*faults, f"the counter of the budget has {used}, the books {spent}"]

    async def _used(self, socket: Path, expected: int) -> int | None:
        """What is used of the budget by its counter, once that is as expected, or at the end of patience."""
        loop = asyncio.get_running_loop()
        counters = MachineCounters(loop, socket, "a crash run")
        limit = Limit(BUDGET, "money", "budget", BUDGET_DOLLARS * PICO)
        used: int | None = None
        end = loop.time() + SETTLED_S_MAX
        while used != expected and loop.time() < end:
            at = time.time_ns() // 1000
            counters.tick(at)
            answer: asyncio.Future[Outcome] = loop.create_future()
            counters.draw([Draw(limit, 0)], at, answer.set_result)
            outcome = await answer
            if outcome is not None and not isinstance(outcome, Shortage):
                used = limit.units - outcome[0].left
            await asyncio.sleep(0.05)
        counters.close()
        return used


_CREATE_KEY = ("key", "create", "--project", "search", "--json")
