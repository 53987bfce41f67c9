"""Limits with several gateway processes, on one machine and on two with Valkey between them. `-s` shows figures."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from entrepot.adapters.machine_counters import MachineCounters
from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.adapters.valkey.client import parse_server
from entrepot.adapters.valkey.counters import ValkeyCounters
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.drawing import Outcome as Drawn
from entrepot.core.draws import Draw, Shortage
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.periods import MINUTE
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.tokens import TOKEN_METERS
from entrepot.core.upstream_rules import Timeouts, UpstreamRules
from tests.support.crowd import ask_all, statuses
from tests.support.gateway import deployment, eventually, snapshot, target
from tests.support.gateway_processes import Installation, installed, said
from tests.support.requests import chat
from tests.support.valkey import ValkeyServer, running_valkey

AGES = 100 * 365 * 24 * 60 * MINUTE  # A window that is not over before these tests are.
CHUNKS = 60
PROMPT = f"[[chunks={CHUNKS}]]"
TOKENS = 1 + CHUNKS  # Of a request, as the upstream counts.
HELD = 3 + 3 + len(PROMPT) + CHUNKS  # What is held of it: as many tokens as its prompt has bytes, and some around them.
OFFERED = 240
WORTH = 160
PATIENT = Timeouts(connect_ms=60_000)  # Of a thousand connections at once, some wait long.


class Fleet:
    """Gateways that count in one place. ports: of the gateways, one machine after the other."""

    def __init__(self, machines: Sequence[Installation], environment: dict[str, str]) -> None:
        self.machines = machines
        self.environment = environment
        self.gateways: list[subprocess.Popen[str]] = []
        self.ports: list[int] = []

    def start(self, each: int) -> None:
        """So many gateways on each machine, each at a port of its own."""
        for machine in self.machines:
            for _ in range(each):
                machine.port = 0
                self.gateways.append(machine.start_gateway(["tests/support/patient_gateway.py"], **self.environment))
                self.ports.append(machine.port)

    def publish(self, *limited: tuple[str, Limit]) -> None:
        """A deployment for each limit, by name."""
        for machine in self.machines:
            served = [serve(machine, name, limit) for name, limit in limited]
            rules = {"up": UpstreamRules(on_client_abort="drain", timeouts=PATIENT)}
            FileSnapshots(machine.settings.snapshot_file).publish(snapshot(*served, upstreams=rules))

    def admitted(self, name: str) -> int:
        """How many requests have been admitted for a deployment."""
        return sum(
            isinstance(record, Admitted) and record.deployment == name
            for machine in self.machines
            for record in machine.all_records()
        )

    def used_tokens(self, name: str) -> int:
        """What all gateways have recorded for a deployment, by the upstream's own count."""
        return sum(
            quantity
            for machine in self.machines
            for record in machine.all_records()
            if isinstance(record, UsageRecorded) and record.event.deployment == name
            for meter, quantity in record.event.meters.items()
            if meter in TOKEN_METERS
        )


def serve(machine: Installation, name: str, limit: Limit) -> ServedDeployment:
    served = ServedLimit(limit, "tokens_per_minute", f"the deployment search/{name}")
    return deployment(name, target(machine.base_url), limits=(served,))


def limit_of(name: str, units: int) -> Limit:
    return Limit(name, "tokens", "window", units, AGES)


CASES = [f"{name}-{how}" for name in ("one", "two", "four") for how in ("whole", "streamed")]
LIMITED = [
    *((name, limit_of(name, WORTH * TOKENS)) for name in CASES),
    ("hard", limit_of("hard", 100 * HELD)),
    ("killed", limit_of("killed", 10_000 * HELD)),
]


def start_owner(machine: Installation) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "entrepot.compose.counter_process", "--home", str(machine.settings.home)]
    process = machine.start(command)
    said(process)
    return process


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[Fleet, list[subprocess.Popen[str]]]]:
    """Four gateways of one machine, and the process that counts for them."""
    with installed() as installation:
        fleet = Fleet([installation], {"ENTREPOT_COUNTERS": "machine"})
        fleet.publish(*LIMITED)
        owner = start_owner(installation)
        fleet.start(4)
        yield fleet, [owner]


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with running_valkey() as running:
        yield running


@pytest.fixture(scope="module")
def two_machines(server: ValkeyServer) -> Iterator[Fleet]:
    """Two machines with two gateways each."""
    with contextlib.ExitStack() as stack:
        machines = [stack.enter_context(installed()) for _ in range(2)]
        fleet = Fleet(machines, {"ENTREPOT_COUNTERS": "valkey", "ENTREPOT_VALKEY_URL": server.url})
        fleet.publish(*LIMITED)
        fleet.start(2)
        yield fleet


def admit(fleet: Fleet, ports: Sequence[int], name: str, *, streamed: bool) -> None:
    """Offers half more than the limit is worth, as ever so many clients that wait for one another, and twice over."""
    body = chat(PROMPT, model=name, max_tokens=CHUNKS, stream=streamed)
    outcomes = asyncio.run(ask_all(ports, [body] * OFFERED, 24))
    outcomes += asyncio.run(ask_all(ports, [body] * 8, 1))
    used, units = fleet.used_tokens(name), WORTH * TOKENS
    seen = statuses(outcomes)
    print(f"\n{name}, {len(ports)} gateways: {used} of {units} tokens admitted ({used / units:.2%}), {dict(seen)}")
    assert set(seen) == {200, 429}
    assert {outcome.code for outcome in outcomes if outcome.status == 429} == {"rate_limit_exceeded"}
    assert 0.99 * units <= used <= 1.01 * units


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_gateways_of_a_machine_admit_what_the_limit_says(
    machine: tuple[Fleet, list[Any]], count: int, streamed: bool
) -> None:
    fleet, _ = machine
    name = f"{ {1: 'one', 2: 'two', 4: 'four'}[count] }-{'streamed' if streamed else 'whole'}"
    admit(fleet, fleet.ports[:count], name, streamed=streamed)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_gateways_of_two_machines_admit_what_the_limit_says(two_machines: Fleet, streamed: bool) -> None:
    name = f"two-{'streamed' if streamed else 'whole'}"
    admit(two_machines, two_machines.ports[::2], name, streamed=streamed)


def overrun(fleet: Fleet) -> None:
    """A thousand requests at once against a limit that is worth a hundred of them."""
    body = chat(PROMPT, model="hard", max_tokens=CHUNKS)
    outcomes = asyncio.run(ask_all(fleet.ports, [body] * 1000, 1000))
    seen, used, units = statuses(outcomes), fleet.used_tokens("hard"), 100 * HELD
    print(f"\nhard limit, {len(fleet.ports)} gateways: {dict(seen)}, {used} of {units} tokens used")
    assert set(seen) == {200, 429}, {outcome.code for outcome in outcomes if outcome.status not in {0, 200}}
    assert seen[200] >= 99
    assert used <= units


def test_a_hard_limit_holds_on_one_machine(machine: tuple[Fleet, list[Any]]) -> None:
    overrun(machine[0])


def test_a_hard_limit_holds_on_two_machines(two_machines: Fleet) -> None:
    overrun(two_machines)


def now() -> int:
    return time.time_ns() // 1000


async def left(counters: MachineCounters | ValkeyCounters, limit: Limit) -> int:
    """What is left of a limit for everybody."""
    async with asyncio.timeout(20):
        while True:
            answer: asyncio.Future[Drawn] = asyncio.get_running_loop().create_future()
            counters.tick(now())
            counters.draw([Draw(limit, 0)], now(), answer.set_result)
            outcome = await answer
            if outcome is not None:
                assert not isinstance(outcome, Shortage)
                return outcome[0].left
            await asyncio.sleep(0.02)


def settled(fleet: Fleet, name: str, make: Any) -> None:
    """In the end nothing that was used is forgotten: what nobody can know was done counts as used."""
    [limit] = [limit for known, limit in LIMITED if known == name]
    recorded = fleet.used_tokens(name)
    most = recorded + 100 * HELD

    async def used_at_last() -> int:
        counters, before, now_used = make(asyncio.get_running_loop()), -1, 0
        try:
            async with asyncio.timeout(60):
                while before != now_used or now_used > most:  # A gateway that is late still has to give back.
                    await asyncio.sleep(1.0)  # Longer than gateways keep what lies idle.
                    before, now_used = now_used, limit.units - await left(counters, limit)
        except TimeoutError:
            pass
        finally:
            counters.close()
        return now_used

    used = asyncio.run(used_at_last())
    print(f"\n{name}: {recorded} tokens used by the log, {used} by the counter")
    assert recorded <= used <= most


def held_requests(fleet: Fleet, name: str, lose: Any) -> None:
    """500 requests are held when something is lost; all of them are served nevertheless."""
    body = chat("hello there [[chunks=12 delay=0.25]]", model=name, max_tokens=CHUNKS, stream=True)

    async def crowd() -> Any:
        asking = asyncio.create_task(ask_all(fleet.ports, [body] * 500, 500))
        await asyncio.to_thread(eventually, lambda: fleet.admitted(name) >= 400)
        await asyncio.to_thread(lose)
        return await asking

    outcomes = asyncio.run(crowd())
    seen = statuses(outcomes)
    print(f"\n{name}: {dict(seen)}")
    assert set(seen) <= {200, 503}, [outcome.body for outcome in outcomes if outcome.status not in {200, 503}][:3]
    assert seen[200] > 300


def test_a_counter_process_killed_amid_held_requests_forgets_none(machine: tuple[Fleet, list[Any]]) -> None:
    fleet, owners = machine

    def lose() -> None:
        os.kill(owners[-1].pid, signal.SIGKILL)
        owners[-1].communicate()
        fleet.machines[0].processes.remove(owners[-1])
        owners.append(start_owner(fleet.machines[0]))

    held_requests(fleet, "killed", lose)
    path = fleet.machines[0].settings.counter_socket
    settled(fleet, "killed", lambda loop: MachineCounters(loop, path, "a test"))


def test_a_server_flushed_amid_held_requests_forgets_none(two_machines: Fleet, server: ValkeyServer) -> None:
    parsed = parse_server(server.url)

    def lose() -> None:
        server.stop()
        server.start()

    held_requests(two_machines, "killed", lose)
    settled(two_machines, "killed", lambda loop: ValkeyCounters(loop, parsed, "a test"))
