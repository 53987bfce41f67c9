"""The whole product, killed at random while it serves, then counted against what its upstream says it served.

One seed decides the requests, when they are sent, and who is killed when. Time and the scheduler are real, so a seed
repeats the plan, not the interleaving; a run that fails prints its seed and keeps its directory.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from entrepot.compose.usage_log import open_log_reader
from entrepot.core.log_records import InstanceLost
from entrepot.ports.event_log import START

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "entrepot")
WORKERS = 2
VICTIMS = ("gateway 1", "gateway 2", "worker", "log")
KILLS_MAX = 4
SPAN_S = 3.0  # Requests begin within this time.
SETTLED_S_MAX = 60.0
_INSTANCE = slice(12, 20)  # Where a request id names its gateway.

WORLD = """\
operator: {{name: Crash Cloud, currency: USD}}
models:
  - {{id: sim-chat, version: "1", partner: own, context_tokens: 8192, stage: general}}
  - {{id: sim-embeddings, version: "1", partner: own, context_tokens: 8192, stage: general, operations: [embeddings]}}
upstreams:
  - {{id: scripted, kind: openai, base_url: "{base_url}", usage_lookup: true, models: [sim-chat, sim-embeddings]}}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
          - {{model: sim-chat, meter: input_tokens, per_million: "30"}}
          - {{model: sim-chat, meter: output_tokens, per_million: "60"}}
          - {{model: sim-embeddings, meter: input_tokens, per_million: "0.1"}}
customers:
  - {{id: acme, name: Acme}}
contracts:
  - {{customer: acme, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}}
projects:
  - {{id: search, customer: acme}}
deployments:
  - {{id: chat, project: search, model: sim-chat}}
  - {{id: embeddings, project: search, model: sim-embeddings}}
"""


@dataclass
class Finding:
    """What one run found. faults is empty when every token is where it belongs.

    lost: gateways in the order in which they were gone, killed or stopped. cut: gateways that broke an answer off which
    nobody had meant to break.
    """

    seed: int
    requests: int
    answered: int = 0
    broken: int = 0
    left: int = 0
    killed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)
    served: int = 0
    booked: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The run in one line."""
        verdict = "equal" if not self.faults else f"{len(self.faults)} FAULTS"
        return (
            f"seed {self.seed}: {self.requests} requests, {self.answered} answered, {self.broken} broken off, "
            f"{self.left} left by the client; killed {', '.join(self.killed) or 'nothing'}; "
            f"upstream served {self.served}, books hold {self.booked} {self.sources}: {verdict}"
        )


@dataclass(frozen=True)
class Planned:
    """One request: when it begins, what it asks, and after how many events of a stream its client leaves."""

    at_s: float
    path: str
    body: dict[str, object]
    leave_after: int | None = None

    @property
    def ends_well(self) -> bool:
        """Whether its upstream serves it to the end."""
        text = json.dumps(self.body)
        return "break=" not in text and "status=" not in text


def plan_requests(chance: Random, count: int) -> list[Planned]:
    """A mix of whole answers, streams, embeddings, failures of the upstream, and clients that leave."""
    return sorted((_plan_request(chance) for _ in range(count)), key=lambda request: request.at_s)


def _plan_request(chance: Random) -> Planned:
    at_s = chance.uniform(0, SPAN_S)
    chunks = chance.randint(1, 20)
    script = f"chunks={chunks} delay={chance.choice((0, 0.005, 0.02, 0.05))}"
    words = " ".join(["word"] * chance.randint(1, 60))
    kind = chance.choices(("whole", "stream", "leave", "embed", "break", "cached", "error"), (35, 25, 12, 12, 6, 6, 4))[
        0
    ]
    if kind == "embed":
        return Planned(at_s, "/v1/embeddings", {"model": "embeddings", "input": f"{words} [[{script}]]"})
    if kind == "break":
        script += f" break={chance.randint(0, chunks)}"
    if kind == "cached":
        words, script = f"{words} more words here", script + " cached=2"
    if kind == "error":
        script += " status=500"
    body: dict[str, object] = {"model": "chat", "messages": [{"role": "user", "content": f"{words} [[{script}]]"}]}
    stream = kind in ("stream", "leave") or (kind in ("break", "cached") and chance.random() < 0.5)
    if stream:
        body["stream"] = True
        if chance.random() < 0.5:
            body["stream_options"] = {"include_usage": True}
    return Planned(at_s, "/v1/chat/completions", body, chance.randint(0, chunks) if kind == "leave" else None)


class CrashRun:
    """One seeded run in its own directory. Call `find`. victims, kills: who may be killed, and how often at most.

    waits_for: what answers wait for, as the setting of that name says it.
    """

    def __init__(
        self,
        seed: int,
        directory: Path,
        requests: int = 200,
        *,
        workers: int = WORKERS,
        victims: Sequence[str] = VICTIMS,
        kills: int = KILLS_MAX,
        waits_for: str = "disk",
    ) -> None:
        self._waits_for = waits_for
        self._workers = workers
        self._victims = victims
        self._kills = kills
        self._chance = Random(seed)
        self._directory = directory
        self._home = directory / "home"
        self._state = directory / "served.jsonl"
        self._plan = plan_requests(self._chance, requests)
        self._answered: dict[str, dict[str, int]] = {}
        self.finding = Finding(seed, requests)

    def find(self) -> Finding:
        """Serves, kills, waits until all is settled, and compares."""
        with self._upstream() as base_url:
            key = self._declare(base_url)
            with self._product() as gateway:
                asyncio.run(self._serve(gateway, key))
                self._await_settled()
            self._compare()
        return self.finding

    @contextlib.contextmanager
    def _upstream(self) -> Iterator[str]:
        command = (sys.executable, "-m", "tests.scripted_upstream", "--port", "0", "--state", str(self._state))
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield json.loads(process.stdout.readline())["base_url"]
            finally:
                process.kill()

    def _declare(self, base_url: str) -> str:
        world = self._directory / "world.yaml"
        world.write_text(WORLD.format(base_url=base_url))
        self._entrepot("apply", str(world))
        key: str = json.loads(self._entrepot("key", "create", "--project", "search", "--json"))["key"]
        return key

    @contextlib.contextmanager
    def _product(self) -> Iterator[str]:
        with (self._directory / "serve.log").open("w") as log:
            process = subprocess.Popen(
                (*PROGRAM, "serve", "--workers", str(self._workers)), env=self._environment(), stdout=log, stderr=log
            )
            try:
                yield self._await_running(process)["gateway"]
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    def _await_running(self, process: "subprocess.Popen[bytes]") -> dict[str, str]:
        for _ in _tries(60.0):
            assert process.poll() is None, (self._directory / "serve.log").read_text()
            with contextlib.suppress(FileNotFoundError):
                running: dict[str, str] = self._running()
                return running
        raise AssertionError("entrepot serve did not get ready")

    def _running(self) -> dict[str, str]:
        running: dict[str, str] = json.loads((self._home / "run/serve.json").read_text())
        return running

    async def _serve(self, gateway: str, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"}
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(gateway, headers=headers, timeout=timeout) as session:
            killing = asyncio.create_task(self._kill())
            await asyncio.gather(*(self._send(session, request) for request in self._plan))
            await killing

    async def _kill(self) -> None:
        moments = sorted(self._chance.uniform(0.2, SPAN_S) for _ in range(self._chance.randint(1, self._kills)))
        loop = asyncio.get_running_loop()
        began = loop.time()
        for moment in moments:
            await asyncio.sleep(max(0.0, began + moment - loop.time()))
            victim = self._chance.choice(self._victims)
            children: dict[str, int] = self._running()["children"]  # type: ignore[assignment]
            if victim in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(children[victim], signal.SIGKILL)
                    self.finding.killed.append(victim)

    async def _send(self, session: aiohttp.ClientSession, request: Planned) -> None:
        await asyncio.sleep(request.at_s)
        request_id = ""
        try:
            async with session.post(request.path, json=request.body) as answer:
                request_id = answer.headers["x-request-id"]
                if request.leave_after is not None:
                    await self._leave(answer, request.leave_after)
                    return
                payload = await answer.read()
                if answer.status == 200 and _is_whole(request, payload):
                    self.finding.answered += 1
                    self._answered[request_id] = _usage_of(request, payload)
                    return
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        self.finding.broken += 1
        if request_id and request.ends_well:
            self.finding.cut.add(request_id[_INSTANCE])

    async def _leave(self, answer: aiohttp.ClientResponse, after: int) -> None:
        for _ in range(after + 1):
            if not await answer.content.readline():
                break
        answer.close()
        self.finding.left += 1

    def _await_settled(self) -> None:
        for _ in _tries(SETTLED_S_MAX):
            served = self._served()
            if all(item["state"] != "running" for item in served.values()) and served.keys() <= self._booked().keys():
                return

    def _served(self) -> dict[str, dict[str, object]]:
        """{request id: its last state} as the upstream wrote it; a line that it is writing may be there in part."""
        whole, _, _ = (self._state.read_text() if self._state.exists() else "").rpartition("\n")
        return {item["id"]: item for item in map(json.loads, whole.splitlines())}

    def _booked(self) -> dict[str, dict[str, object]]:
        lines = self._entrepot("usage", "export", "--format", "jsonl").splitlines()
        return {item["id"]: item for item in map(json.loads, lines)}

    def _compare(self) -> None:
        finding, served, booked = self.finding, self._served(), self._booked()
        finding.served, finding.booked = len(served), len(booked)
        for record in booked.values():
            source = str(record["source"])
            finding.sources[source] = finding.sources.get(source, 0) + 1
        records = open_log_reader(self._home).read(START, 1_000_000)
        finding.lost = [record.instance for _, record in records if isinstance(record, InstanceLost)]
        for request_id in sorted(served.keys() | booked.keys()):
            self._compare_one(request_id, served.get(request_id), booked.get(request_id))
        for request_id, usage in self._answered.items():
            if usage and request_id in served and usage != _meters(served[request_id]["usage"]):
                finding.faults.append(f"{request_id}: the client was told {usage}")
        try:
            self._entrepot("verify")
        except AssertionError as error:
            finding.faults.append(f"verify: {error}")

    def _compare_one(self, request_id: str, served: dict[str, object] | None, booked: dict[str, object] | None) -> None:
        if booked is None:
            self.finding.faults.append(f"{request_id}: served {served} and not booked")
            return
        meters = booked["meters"]
        assert isinstance(meters, dict)
        expected = _meters(served["usage"]) if served else {}
        if {meter: quantity for meter, quantity in meters.items() if quantity} != expected:
            self.finding.faults.append(f"{request_id}: booked {booked}, served {served}")

    def _entrepot(self, *arguments: str) -> str:
        done = subprocess.run(
            (*PROGRAM, *arguments), env=self._environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"entrepot {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ENTREPOT_HOME": str(self._home),
            "ENTREPOT_GATEWAY_ADDRESS": "127.0.0.1:0",
            "ENTREPOT_CONSOLE_ADDRESS": "127.0.0.1:0",
            "ENTREPOT_ANSWERS_WAIT_FOR": self._waits_for,
        }


def _tries(within_s: float) -> Iterator[int]:
    """Counts while there is time, a little apart."""
    import time

    end = time.monotonic() + within_s
    number = 0
    while time.monotonic() < end:
        yield number
        number += 1
        time.sleep(0.2)


def _is_whole(request: Planned, payload: bytes) -> bool:
    return not request.body.get("stream") or payload.endswith(b"data: [DONE]\n\n")


def _usage_of(request: Planned, payload: bytes) -> dict[str, int]:
    """The meters that the client was told of, or {} when it did not ask."""
    if not request.body.get("stream"):
        return _meters(json.loads(payload)["usage"])
    told = [json.loads(event[6:]) for event in payload.split(b"\n\n") if event.startswith(b"data: {")]
    usage = [event["usage"] for event in told if event.get("usage")]
    return _meters(usage[-1]) if usage else {}


def _meters(usage: object) -> dict[str, int]:
    """The exclusive meters of an OpenAI usage object, without the zeros; written apart from the product's own."""
    assert isinstance(usage, dict)
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0)
    meters = {
        "input_tokens": usage["prompt_tokens"] - cached,
        "cached_input_tokens": cached,
        "output_tokens": usage.get("completion_tokens", 0) - reasoning,
        "reasoning_tokens": reasoning,
    }
    return {meter: quantity for meter, quantity in meters.items() if quantity}
