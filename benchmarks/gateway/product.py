"""The product as a target: its log process and its gateway, with everything on, in a home made for the run."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from benchmarks.gateway.load import ANSWER_TOKENS, MODEL, PROMPT_TOKENS, USUAL, Manner, MockUpstream
from benchmarks.gateway.processes import Child, Children, free_port, tree
from benchmarks.gateway.targets import KEY, ROOT, TlsUpstream, ready
from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.adapters.standings_file import FileStandings
from entrepot.compose.settings import load_settings
from entrepot.compose.usage_log import open_log_reader
from entrepot.core.budgets import SCHEMA, OwnedBudget, Standing, Standings, periods_around
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import InstanceBegan, UsageRecorded
from entrepot.core.tenancy import ApiKey
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from entrepot.ports.event_log import START, Position
from entrepot.provisioning.budgets import owned_budgets
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world

READY_SECONDS = 300  # Under valgrind, on a machine that others use, a start takes a minute.
READ_AT_ONCE = 100_000
LAG_S_MAX = 10.0  # Far more than the 5 ms after which usage leaves, and flushes of a busy disk.
LOOK_S = 0.02
UPSTREAM_KEY = "BENCHMARK_UPSTREAM_KEY"
OTHER_KEY = "ek-benchmark-{:040d}"


@dataclass(slots=True)
class Product:
    """The product, running. What its log holds is read on from where the last look ended.

    lag_s: how long after an answer its usage is in the log at the latest. budgets: that its requests meet.
    """

    home: Path
    port: int
    log: Child
    gateways: list[Child]
    lag_s: float = 0
    key: str = KEY
    manner: Manner = USUAL
    budgets: Sequence[OwnedBudget] = ()
    _read_to: Position = field(default=START)
    _found: int = 0

    def processes(self) -> dict[str, list[int]]:
        """Its gateways and its log process."""
        return {"gateway": [pid for child in self.gateways for pid in tree(child.pid)], "log": tree(self.log.pid)}

    def await_ready(self) -> None:
        """Nothing, once it answers. Raises: RuntimeError."""
        if self.budgets:
            self._weigh_budgets()
        for gateway in self.gateways:
            await_word(gateway, '"ready":true')
        ready(self, self.gateways[0])
        self.metered(1)

    def _weigh_budgets(self) -> None:
        """Publishes that nothing is spent of the budgets, as the worker does once it has read of the gateways' begin.

        There is no worker here: it would take the core that the gateway is measured on. Raises: RuntimeError.
        """
        began: list[InstanceBegan] = []
        for _ in range(READY_SECONDS * 20):
            found = list(open_log_reader(self.home).read(START, READ_AT_ONCE))
            began = [record for _, record in found if isinstance(record, InstanceBegan)]
            if len(began) >= len(self.gateways):
                break
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{self.gateways[0].output.stem} did not start:\n{self.gateways[0].complaint()}")
        place, at = found[-1][0], SystemClock().now()
        rows = [
            Standing(owned, term.limit, term.period, spent=0)
            for owned in self.budgets
            for term in map(owned.term_of, periods_around(at, owned.zone))
        ]
        instances = tuple(record.instance for record in began)
        standings = Standings(SCHEMA, at, place.segment, place.offset, instances, tuple(rows), through=at)
        FileStandings(load_settings({"ENTREPOT_HOME": str(self.home)}).standings_file).publish(standings)

    def end_of_log(self) -> Position:
        """The position behind all that is durable now."""
        self.metered()
        return self._read_to

    def metered(self, more: int = 0) -> int | None:
        """The usage records that are durable. more: how many have to come, if they do in time.

        Raises: RuntimeError for one that does not say what the upstream said.
        """
        wanted, until = self._found + more, time.monotonic() + self.lag_s
        self._read_on()
        while self._found < wanted and time.monotonic() < until:
            time.sleep(LOOK_S)
            self._read_on()
        return self._found

    def _read_on(self) -> None:
        reader = open_log_reader(self.home)
        more = True
        while more:
            more = False
            for position, record in reader.read(self._read_to, READ_AT_ONCE):
                self._read_to, more = position, True
                if isinstance(record, UsageRecorded):
                    check(record.event)
                    self._found += 1


def check(event: UsageEvent) -> None:
    """Nothing, for usage as the mock upstream reported it. Raises: RuntimeError."""
    streamed = event.meters.get("output_tokens", 0) != ANSWER_TOKENS
    said = event.raw.replace(b" ", b"")
    prompt_good = event.meters.get("input_tokens") == PROMPT_TOKENS
    output_good = not streamed or b'"completion_tokens":%d' % event.meters.get("output_tokens", -1) in said
    if event.source != "reported" or not prompt_good or not output_good:
        raise RuntimeError(f"a request was metered wrongly: {event}")


def entrepot(
    customers: int,
    keys: int,
    children: Children,
    mock: MockUpstream,
    workers: int = 1,
    tls: TlsUpstream | None = None,
    deployments: int = 1,
    more: Mapping[str, str] = MappingProxyType({}),
    module: str = "entrepot.compose.gateway",
    *,
    limited: bool = False,
    budgeted: bool = False,
    waits_for: Literal["disk", "memory"] = "disk",
) -> Product:
    """The product serving a world of that many customers, keys and deployments of each customer.

    workers: gateways on one port, on any core when there are several. more: settings; module: of the gateway.
    limited: every request meets a limit of requests and one of tokens, which none of them exhausts.
    budgeted: each customer has a hard budget in money for the month, which its requests do not exhaust.
    waits_for: what answers wait for.
    Raises: RuntimeError when it does not start.
    """
    bench = children.bench
    name = f"entrepot-{customers}-{keys}-{workers}-{deployments}" + ("-tls" if tls else "")
    name += "-limited" * limited + "-budgeted" * budgeted + f"-{waits_for}" * (waits_for != "disk")
    home = bench.scratch / name
    port = free_port()
    environment = {
        "ENTREPOT_HOME": str(home),
        "ENTREPOT_GATEWAY_ADDRESS": f"127.0.0.1:{port}",
        "ENTREPOT_ANSWERS_WAIT_FOR": waits_for,
        UPSTREAM_KEY: "sk-upstream-0123456789abcdef",
        **more,
    }
    if tls:
        environment["SSL_CERT_FILE"] = str(tls.authority)
    base_url = f"https://127.0.0.1:{tls.port}/v1" if tls else f"http://127.0.0.1:{mock.port}/v1"
    text = world_text(customers, base_url, deployments, limited=limited, budgeted=budgeted)
    world, issued_keys = read_world([("benchmark.yaml", text)]), keys_of(customers, keys)
    publish(environment, world, issued_keys, 1)
    core = bench.target_core if workers == 1 else None
    command = [sys.executable, "-m", "entrepot.compose.log_process", "--home", str(home)]
    log = children.start(f"{name}-log", command, core, environment, cwd=ROOT)
    await_word(log, '"ready":true')
    command = [sys.executable, "-m", module]
    gateways = [
        children.start(f"{name}-gateway-{number}", command, core, environment, cwd=ROOT) for number in range(workers)
    ]
    budgets = list(owned_budgets(world, issued_keys))
    return Product(home, port, log, gateways, lag_s=LAG_S_MAX if waits_for == "memory" else 0, budgets=budgets)


def keys_of(customers: int, keys: int) -> list[ApiKey]:
    """So many keys, spread over the customers. Key 0 is KEY."""
    return [
        issued(f"key-{number}", KEY if number == 0 else OTHER_KEY.format(number), f"project-{number % customers}")
        for number in range(keys)
    ]


def issued(key_id: str, key: str, project: str) -> ApiKey:
    """A key as the product keeps it."""
    return ApiKey(id=key_id, digest=key_digest(key), project=project, name="benchmark", created_at=0)


def publish(environment: Mapping[str, str], world: World, keys: Sequence[ApiKey], version: int) -> None:
    """Leaves a snapshot of the world in the home that the environment names."""
    snapshot = compile_snapshot(world, keys, {}, version=version, at=version)
    FileSnapshots(load_settings(environment).snapshot_file).publish(snapshot)


def world_text(
    customers: int, base_url: str, deployments: int = 1, *, limited: bool = False, budgeted: bool = False
) -> str:
    """A world file: customers with a project and deployments each, all served by one upstream.

    The first deployment of each is named as the model is. limited, budgeted: see entrepot.
    """
    counted, quota = (", tokenizer: o200k_base", ", tokens_per_minute: 1000000000000") if limited else ("", "")
    budget = ", budget: {monthly: '1000000'}" if budgeted else ""
    numbers = range(customers)
    names = [MODEL, *(f"deployment-{number}" for number in range(1, deployments))]
    lines = [
        "operator: {name: Benchmark, currency: USD}",
        "partners: [{id: maker, name: Maker}]",
        "models:",
        f"  - {{id: {MODEL}, version: '1', partner: maker, context_tokens: 128000, stage: general{counted}}}",
        "upstreams:",
        f"  - {{id: mock, kind: openai, models: [{MODEL}], key_env: {UPSTREAM_KEY},",
        f"     base_url: '{base_url}'}}",
        "price_books:",
        "  - id: list",
        "    versions:",
        "      - effective_from: 2024-01-01",
        "        prices:",
        f"          - {{model: {MODEL}, meter: input_tokens, per_million: '0.15'}}",
        f"          - {{model: {MODEL}, meter: output_tokens, per_million: '0.60'}}",
        "customers:",
        *(f"  - {{id: customer-{n}, name: Customer {n}, since: 2024-01-01{budget}}}" for n in numbers),
        "contracts:",
        *(
            f"  - {{customer: customer-{n}, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}}"
            for n in numbers
        ),
        "projects:",
        *(f"  - {{id: project-{n}, customer: customer-{n}}}" for n in numbers),
        "deployments:",
        *(
            f"  - {{id: {name}, project: project-{n}, model: {MODEL}, kind: standard{quota}}}"
            for n in numbers
            for name in names
        ),
    ]
    return "\n".join(lines) + "\n"


def await_word(child: Child, word: str) -> None:
    """Nothing, once the child has printed the word. Raises: RuntimeError with its last words."""
    for _ in range(READY_SECONDS * 20):
        if word in child.output.read_text():
            return
        if child.process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"{child.output.stem} did not start:\n{child.complaint()}")
