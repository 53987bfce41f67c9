"""A hard budget in money with several gateway processes, the worker and a real counter between them. `-s`: figures."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from entrepot.adapters.machine_counters import MachineCounters
from entrepot.compose.settings import load_settings
from entrepot.core.capacity import Limit
from entrepot.core.drawing import Outcome
from entrepot.core.draws import Draw, Shortage
from entrepot.core.money import PICO
from tests.support.crowd import ask_all, statuses
from tests.support.gateway_processes import said
from tests.support.product import eventually, run_command
from tests.support.requests import chat
from tests.support.tree import ROOT
from tests.support.valkey import running_valkey

CHUNKS = 10
EACH = CHUNKS * PICO // 1_000_000  # A dollar for a million tokens of an answer; prompts cost nothing.
WORTH = 100
WORLD = """
operator: {{name: Test, currency: USD}}
partners: [{{id: maker, name: Maker}}]
models: [{{id: m, version: "1", partner: maker, context_tokens: 8192}}]
upstreams:
  - {{id: up, kind: openai, base_url: "{base_url}", key_env: UP_KEY, usage_lookup: true, models: [m],
     on_client_abort: drain, timeouts: {{connect_ms: 60000}}}}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
          - {{model: m, meter: input_tokens, per_million: "0"}}
          - {{model: m, meter: output_tokens, per_million: "1"}}
customers:
  - {{id: acme, name: Acme, since: 2024-01-01, budget: {{total: "{amount}", mode: hard}}}}
contracts: [{{customer: acme, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}}]
projects: [{{id: search, customer: acme}}]
deployments: [{{id: chat, project: search, model: m, kind: standard}}]
"""


class Installation:
    """`entrepot serve` with several gateways. key: of its only project."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.settings = load_settings({}, {"home": str(home)})
        self._processes: list[subprocess.Popen[str]] = []
        upstream = self._start([sys.executable, "-m", "tests.scripted_upstream"], {})
        self._base_url = said(upstream)["base_url"]
        more = {
            "ENTREPOT_HOME": str(home),
            "ENTREPOT_GATEWAY_ADDRESS": "127.0.0.1:0",
            "ENTREPOT_CONSOLE_ADDRESS": "127.0.0.1:0",
            "UP_KEY": "sk-of-the-upstream",
            **environment,
        }
        serve = self._start([sys.executable, "-m", "entrepot", "serve", "--json"], more)
        assert serve.stdout is not None
        line = serve.stdout.readline()
        assert line, serve.communicate()[1]
        self.port = int(json.loads(line)["gateway"].rpartition(":")[2])

    def apply(self, amount: str) -> str:
        """Declares the budget; a key of the project."""
        world = self.home / "world.yaml"
        world.write_text(WORLD.format(base_url=self._base_url, amount=amount))
        run_command(self.home, "apply", str(world))
        made = json.loads(run_command(self.home, "key", "create", "--project", "search", "--json"))
        key: str = made["key"]
        return key

    def spent(self) -> int:
        """What the books say is spent, once nothing is held."""

        def settled() -> list[Any] | None:
            [budget] = json.loads(run_command(self.home, "budget", "list", "--json"))["budgets"]
            return [budget] if budget["held"] in {"0", "0.00"} else None

        return pico(eventually(settled)[0]["spent"])

    def gateways(self) -> list[int]:
        """Their process ids."""
        running = json.loads((self.home / "run" / "serve.json").read_text())["children"]
        return [pid for name, pid in running.items() if name.startswith("gateway")]

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)

    def _start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process


def pico(amount: str) -> int:
    whole, _, part = amount.replace(",", "").partition(".")
    return int(whole) * PICO + int(part.ljust(12, "0"))


@contextmanager
def installed(**environment: str) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="entrepot-") as folder:
        installation = Installation(Path(folder), environment)
        try:
            yield installation
        finally:
            installation.stop()


def overrun(installation: Installation, name: str) -> None:
    key = installation.apply(f"0.{WORTH * EACH:012d}")
    body = chat(f"hello [[chunks={CHUNKS}]]", max_tokens=CHUNKS)
    first = served_by_all(installation, key, body)
    outcomes = asyncio.run(ask_all([installation.port], [body] * 999, 999, key))
    seen, spent = statuses([*first, *outcomes]), installation.spent()
    print(f"\n{name}: {dict(seen)}, {spent} of {WORTH * EACH} pico spent")
    assert set(seen) == {200, 429}
    assert spent == seen[200] * EACH
    assert 99 * EACH <= spent <= WORTH * EACH


def served_by_all(installation: Installation, key: str, body: bytes) -> list[Any]:
    """The first answers, some of each gateway: all of them know the world now, and the books know them."""
    gateways = len(installation.gateways())
    answers: list[Any] = []

    def by_all() -> bool:
        asked = asyncio.run(ask_all([installation.port], [body] * gateways, gateways, key))
        answers.extend(answer for answer in asked if answer.status == 200)
        return len({instance_of(answer) for answer in answers}) == gateways

    eventually(by_all)
    return answers


def instance_of(answer: Any) -> str:
    """The gateway that gave the answer: the upstream names it by the request's id, which has the instance in it."""
    return str(json.loads(answer.body)["id"].removeprefix("answer-")[12:20])


def test_a_thousand_requests_at_four_workers_do_not_overrun_a_budget() -> None:
    with installed(ENTREPOT_GATEWAY_WORKERS="4") as installation:
        overrun(installation, "4 workers")


def test_a_thousand_requests_at_two_gateways_on_valkey_do_not_overrun_a_budget() -> None:
    with (
        running_valkey() as server,
        installed(
            ENTREPOT_GATEWAY_WORKERS="2", ENTREPOT_COUNTERS="valkey", ENTREPOT_VALKEY_URL=server.url
        ) as installation,
    ):
        overrun(installation, "2 gateways on Valkey")


async def until(counters: MachineCounters, limit: Limit, enough: Callable[[int], bool]) -> int:
    """What is used of the limit by its counter, once that is enough."""
    async with asyncio.timeout(60):
        while True:
            at = time.time_ns() // 1000
            counters.tick(at)
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            counters.draw([Draw(limit, 0)], at, answer.set_result)
            outcome = await answer
            if outcome is not None and not isinstance(outcome, Shortage):
                used = limit.units - outcome[0].left
                if await asyncio.to_thread(enough, used):
                    return used
            await asyncio.sleep(0.02)


def test_a_gateway_killed_amid_held_requests_leaves_the_counter_as_the_ledger() -> None:
    with installed(ENTREPOT_GATEWAY_WORKERS="3") as installation:
        key = installation.apply("1")
        limit = Limit("customer/acme/total/money", "money", "budget", PICO)
        body = chat(f"hello [[chunks={CHUNKS} delay=0.3]]", max_tokens=CHUNKS, stream=True)
        quick = chat(f"hello [[chunks={CHUNKS}]]", max_tokens=CHUNKS)
        served_by_all(installation, key, quick)

        async def crowd() -> list[Any]:
            asking = asyncio.create_task(ask_all([installation.port], [body] * 500, 500, key))
            counters = MachineCounters(asyncio.get_running_loop(), installation.settings.counter_socket, "a test")
            await until(counters, limit, lambda found: found >= 450 * EACH)
            os.kill(installation.gateways()[0], signal.SIGKILL)
            outcomes = await asking
            counters.close()
            return outcomes

        seen = statuses(asyncio.run(crowd()))
        spent = installation.spent()

        async def agree() -> int:
            counters = MachineCounters(asyncio.get_running_loop(), installation.settings.counter_socket, "a test")
            try:
                return await until(counters, limit, lambda found: found == spent)
            finally:
                counters.close()

        counted = asyncio.run(agree())
        print(
            f"\none of 3 gateways killed amid 500 requests: {dict(seen)}, {spent} pico by the ledger, {counted} counted"
        )
        assert seen[200] > 100
        assert counted >= seen[200] * EACH
