"""The product as a target: its log process and its gateway, with everything on, in a home made for the run."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gateway.load import ANSWER_TOKENS, MODEL, PROMPT_TOKENS, MockUpstream
from benchmarks.gateway.processes import Child, Children, free_port, tree
from benchmarks.gateway.targets import KEY, ROOT, Target, ready
from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.compose.settings import load_settings
from entrepot.compose.usage_log import open_log_reader
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import UsageRecorded
from entrepot.core.tenancy import ApiKey
from entrepot.core.usage_event import UsageEvent
from entrepot.ports.event_log import START, Position
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world

READY_SECONDS = 60
READ_AT_ONCE = 100_000
UPSTREAM_KEY = "BENCHMARK_UPSTREAM_KEY"


@dataclass(slots=True)
class Product:
    """The product, running. What its log holds is read on from where the last look ended."""

    home: Path
    port: int
    log: Child
    gateway: Child
    key: str = KEY
    _read_to: Position = field(default=START)
    _found: int = 0

    def processes(self) -> dict[str, list[int]]:
        """Its gateway and its log process."""
        return {"gateway": tree(self.gateway.pid), "log": tree(self.log.pid)}

    def metered(self) -> int | None:
        """The usage records that are durable. Raises: RuntimeError for one that does not say what the upstream said."""
        reader = open_log_reader(self.home)
        more = True
        while more:
            more = False
            for position, record in reader.read(self._read_to, READ_AT_ONCE):
                self._read_to, more = position, True
                if isinstance(record, UsageRecorded):
                    check(record.event)
                    self._found += 1
        return self._found


def check(event: UsageEvent) -> None:
    """Nothing, for usage as the mock upstream reported it. Raises: RuntimeError."""
    streamed = event.meters.get("output_tokens", 0) != ANSWER_TOKENS
    said = event.raw.replace(b" ", b"")
    prompt_good = event.meters.get("input_tokens") == PROMPT_TOKENS
    output_good = not streamed or b'"completion_tokens":%d' % event.meters.get("output_tokens", -1) in said
    if event.source != "reported" or not prompt_good or not output_good:
        raise RuntimeError(f"a request was metered wrongly: {event}")


def entrepot(customers: int, keys: int, children: Children, mock: MockUpstream) -> Target:
    """The product serving a world of that many customers and keys. Raises: RuntimeError when it does not start."""
    bench = children.bench
    home = bench.scratch / f"entrepot-{keys}"
    port = free_port()
    environment = {
        "ENTREPOT_HOME": str(home),
        "ENTREPOT_GATEWAY_ADDRESS": f"127.0.0.1:{port}",
        UPSTREAM_KEY: "sk-upstream-0123456789abcdef",
    }
    publish(environment, customers, keys, mock.port)
    log = children.start(
        f"entrepot-log-{keys}",
        [sys.executable, "-m", "entrepot.compose.log_process", "--home", str(home)],
        bench.target_core,
        environment,
        cwd=ROOT,
    )
    await_word(log, '"ready":true')
    gateway = children.start(
        f"entrepot-gateway-{keys}",
        [sys.executable, "-m", "entrepot.compose.gateway"],
        bench.target_core,
        environment,
        cwd=ROOT,
    )
    product = Product(home, port, log, gateway)
    ready(product, gateway)
    return product


def publish(environment: Mapping[str, str], customers: int, keys: int, upstream_port: int) -> None:
    """Leaves a snapshot of the world in the home. Key 0 is KEY."""
    settings = load_settings(environment)
    world = read_world([("benchmark.yaml", world_text(customers, upstream_port))])
    issued = [
        ApiKey(
            id=f"key-{number}",
            digest=key_digest(KEY if number == 0 else f"ek-benchmark-{number:040d}"),
            project=f"project-{number % customers}",
            name="benchmark",
            created_at=0,
        )
        for number in range(keys)
    ]
    FileSnapshots(settings.snapshot_file).publish(compile_snapshot(world, issued, {}, version=1, at=0))


def world_text(customers: int, upstream_port: int) -> str:
    """A world file: customers with a project and a deployment each, all served by the mock upstream."""
    numbers = range(customers)
    lines = [
        "operator: {name: Benchmark, currency: USD}",
        "partners: [{id: maker, name: Maker}]",
        "models:",
        f"  - {{id: {MODEL}, version: '1', partner: maker, context_tokens: 128000, stage: general}}",
        "upstreams:",
        f"  - {{id: mock, kind: openai, models: [{MODEL}], key_env: {UPSTREAM_KEY},",
        f"     base_url: 'http://127.0.0.1:{upstream_port}/v1'}}",
        "price_books:",
        "  - id: list",
        "    versions:",
        "      - effective_from: 2024-01-01",
        "        prices:",
        f"          - {{model: {MODEL}, meter: input_tokens, per_million: '0.15'}}",
        f"          - {{model: {MODEL}, meter: output_tokens, per_million: '0.60'}}",
        "customers:",
        *(f"  - {{id: customer-{n}, name: Customer {n}, since: 2024-01-01}}" for n in numbers),
        "contracts:",
        *(
            f"  - {{customer: customer-{n}, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}}"
            for n in numbers
        ),
        "projects:",
        *(f"  - {{id: project-{n}, customer: customer-{n}}}" for n in numbers),
        "deployments:",
        *(f"  - {{id: {MODEL}, project: project-{n}, model: {MODEL}, kind: standard}}" for n in numbers),
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
