"""One run of the load client against one port, and the mock upstream that stands behind every target."""

import hashlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.gateway.native_tools import compiled
from benchmarks.gateway.processes import Bench, Child, Children, prepare

MODEL = "gpt-4o-mini"
# What the mock upstream says it used: each request, each plain answer.
PROMPT_TOKENS = 212
ANSWER_TOKENS = 96
ANSWER_BYTES_MIN = 900
_USUAL_BODY_BYTES = 850

_SYSTEM = (
    "You help the people who run a shop for garden tools. Answer in short, plain sentences, name what you assume, "
    "and never invent a figure. If a question cannot be answered from what you were given, say so and ask one back."
)
_USER = (
    "Yesterday between ten and half past ten the pages of our shop took five times as long as usual, although no "
    "more people than on other days looked at them. The database was idle, the machines had memory to spare, and "
    "nothing had been installed since last week. The payment service wrote to us that it had been slow for about "
    "the same time. What are the three likeliest causes, in which order should we look at them, and what should we "
    "measure from today on so that we know next time?"
)


class Quantiles(msgspec.Struct, frozen=True):
    """A distribution in µs."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


class ProcessUse(msgspec.Struct, frozen=True):
    """What a process spent in the window, and its resident memory at the end of it."""

    cpu_us: float
    rss_kb: int


class LoadResult(msgspec.Struct, frozen=True):
    """What the load client saw. Counts up to stalled_streams are of the whole run; the rest is of the window.

    own_share: the share of a core that the load client itself took. processes: {pid: use}.
    """

    answered: int
    aborted: int
    failed: int
    cut_short: int
    unfinished: int
    reconnects: int
    late_starts: int
    lost_events: int
    stalled_streams: int
    wall_s: float
    requests: int
    events: int
    own_share: float
    latency_us: Quantiles
    first_byte_us: Quantiles
    event_delay_us: Quantiles
    failed_by_status: dict[str, int]
    processes: dict[str, ProcessUse]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a target wants to be asked. headers: whole lines besides the bearer key.

    answer_bytes: the least that a plain answer has; gateways that write answers anew leave some fields out.
    """

    path: str = "/v1/chat/completions"
    model: str = MODEL
    headers: tuple[str, ...] = ()
    answer_bytes: int = ANSWER_BYTES_MIN


USUAL = Manner()


@dataclass(frozen=True, slots=True)
class Load:
    """What to send. rate 0 is a closed loop. events: how many each stream must bring; 0 asks for no stream.

    asks_usage: whether a streamed request asks for the usage event. body_bytes: about how long a request's body is,
    0 for the usual 0.8 kB. stall_s: a stream is stalled when so much passes between two of its events; 0 for never.
    more: further options of the load client, as on its command line.
    """

    connections: int
    warm_s: float
    window_s: float
    rate: float = 0
    stagger_s: float = 0
    events: int = 0
    asks_usage: bool = True
    body_bytes: int = 0
    stall_s: float = 0
    more: tuple[str, ...] = ()


def chat_body(load: Load, model: str = MODEL, extra: Mapping[str, object] | None = None) -> bytes:
    """A chat request of about 0.8 kB, or longer by an earlier message. extra: further fields."""
    earlier = []
    if load.body_bytes > _USUAL_BODY_BYTES:
        text = (_USER + " ") * (load.body_bytes // len(_USER) + 1)
        earlier = [{"role": "user", "content": text[: load.body_bytes - _USUAL_BODY_BYTES]}]
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "system", "content": _SYSTEM}, *earlier, {"role": "user", "content": _USER}],
        "temperature": 0.2,
        "max_tokens": 256,
        "stream": load.events > 0,
    }
    if load.events and load.asks_usage:
        body["stream_options"] = {"include_usage": True}
    return json.dumps(body | dict(extra or {})).encode()


def send(bench: Bench, load: Load, port: int, key: str, pids: Sequence[int], manner: Manner = USUAL) -> LoadResult:
    """What came of the load, after everything sent was answered or given up. Raises: RuntimeError."""
    return collect(begin(bench, load, port, key, pids, manner), load)


def begin(
    bench: Bench,
    load: Load,
    port: int,
    key: str,
    pids: Sequence[int],
    manner: Manner = USUAL,
    body: bytes | None = None,
    more: Sequence[str] = (),
) -> "subprocess.Popen[bytes]":
    """The load client, at work on the load core. body: what to send instead of the load's own; more: options."""
    content = chat_body(load, manner.model) if body is None else body
    path = bench.scratch / f"body-{hashlib.sha256(content).hexdigest()[:16]}.json"
    if not path.exists():  # A client that has just begun may be reading it.
        path.write_bytes(content)
    options = {
        "port": port,
        "path": manner.path,
        "key": key,
        "body": path,
        "connections": load.connections,
        "rate": load.rate,
        "warm": load.warm_s,
        "window": load.window_s,
        "stagger": load.stagger_s,
        "expect-events": load.events,
        "expect-bytes": 1 if load.events else manner.answer_bytes,
        "stall": load.stall_s,
        "pids": ",".join(map(str, pids)),
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    given += [f"--header={line}" for line in manner.headers]
    return subprocess.Popen(
        [str(compiled("load_client")), *given, *load.more, *more],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: prepare(bench.load_core, bench.priority),  # noqa: PLW1509 there are no threads here
    )


def collect(client: "subprocess.Popen[bytes]", load: Load) -> LoadResult:
    """What a load client at work found, once it is done. Raises: RuntimeError."""
    try:
        printed, _ = client.communicate(timeout=load.warm_s + load.window_s + 60)
    finally:
        client.kill()
    if client.returncode:
        raise RuntimeError(f"the load client ended with status {client.returncode}")
    return msgspec.json.decode(printed, type=LoadResult)


class MockState(msgspec.Struct, frozen=True):
    """What the mock upstream is set to and has counted since its start."""

    events: int
    pace_us: int
    requests: int
    streams: int
    events_sent: int


@dataclass(frozen=True, slots=True)
class MockUpstream:
    """The mock upstream, running."""

    child: Child
    port: int

    def tell(self, **settings: int) -> MockState:
        """Its counts, after setting events and pace_us where given."""
        query = "&".join(f"{name}={value}" for name, value in settings.items())
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/mock?{query}", timeout=10) as answer:
            return msgspec.json.decode(answer.read(), type=MockState)


def start_mock(children: Children) -> MockUpstream:
    """The mock upstream on the load core, on a port of the system's choice."""
    child = children.start("mock_upstream", [str(compiled("mock_upstream"))], children.bench.load_core)
    return MockUpstream(child, _first_number(child.output))


def _first_number(output: Path, patience_s: float = 10) -> int:
    for _ in range(int(patience_s / 0.05)):
        line, ended, _ = output.read_text().partition("\n")
        if ended:
            return int(line)
        time.sleep(0.05)
    raise TimeoutError(f"nothing was printed to {output}")
