"""Which targets there are, how hard each can be loaded, and how those that can run here are started."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from benchmarks.gateway import targets
from benchmarks.gateway.load import MockUpstream
from benchmarks.gateway.native_tools import ToolMissing
from benchmarks.gateway.peers import applications, proxies, routers
from benchmarks.gateway.processes import Children
from benchmarks.gateway.product import entrepot
from benchmarks.gateway.targets import Target, refuses_strangers
from benchmarks.gateway.tls import start_front

DIRECT = "direct"
YARDSTICK = "nginx"
OURS = "entrepot"
FROM_MEMORY = "entrepot-memory"

# Without a yardstick a run says nothing; a proxy or an LLM gateway is others' work and left out when it fails.
Kind = Literal["yardstick", "ours", "proxy", "gateway"]


@dataclass(frozen=True, slots=True)
class Strength:
    """What a target can bear, so that it is measured at work and not in collapse.

    connections: in the closed loop; rate: requests a second in the open one; streams: at 50 events a second; held:
    open streams.
    """

    connections: int = 256
    rate: int = 500
    streams: int = 200
    held: int = 1000


STRONG = Strength()
SLOW = Strength(connections=32, rate=200, streams=50, held=500)
SLOWER = Strength(connections=16, rate=40, streams=20, held=200)
SLOWEST = Strength(connections=4, rate=3, streams=4, held=10)


@dataclass(frozen=True, slots=True)
class Contender:
    """One target. does: what it does with a request beside relaying it, in a few words.

    phases: those it is for; () for all.
    """

    name: str
    kind: Kind
    does: str
    start: Callable[[Children, MockUpstream], Target]
    strength: Strength = STRONG
    phases: tuple[str, ...] = ()


def _tls_nginx(children: Children, mock: MockUpstream) -> Target:
    return targets.nginx(children, mock, tls=start_front(children, mock))


def _tls_entrepot(children: Children, mock: MockUpstream) -> Target:
    return entrepot(20, 20, children, mock, tls=start_front(children, mock))


_ALL = (
    Contender(DIRECT, "yardstick", "is the upstream", targets.direct),
    Contender(YARDSTICK, "yardstick", "key", targets.nginx),
    Contender("haproxy", "proxy", "key", proxies.haproxy),
    Contender("envoy", "proxy", "key", proxies.envoy),
    Contender("uvicorn", "proxy", "key", targets.uvicorn),
    Contender("bare", "ours", "key", targets.bare),
    Contender(OURS, "ours", "keys, routing, metering synced to disk, metrics", partial(entrepot, 20, 20)),
    Contender("entrepot-1000keys", "ours", "the same, 1000 keys of 200 customers", partial(entrepot, 200, 1000)),
    Contender(
        "entrepot-limited",
        "ours",
        "the same, prompts counted, two limits held",
        partial(entrepot, 20, 20, limited=True),
        phases=("requests", "latency", "body", "events"),
    ),
    Contender(
        "entrepot-budgeted",
        "ours",
        "the same, a monthly hard budget in money",
        partial(entrepot, 20, 20, budgeted=True),
        phases=("requests", "events"),
    ),
    Contender(
        "entrepot-full",
        "ours",
        "the same, prompts counted, two limits and that budget",
        partial(entrepot, 20, 20, limited=True, budgeted=True),
        phases=("requests", "latency", "body", "events"),
    ),
    Contender(
        FROM_MEMORY,
        "ours",
        "the same, answers wait for memory",
        partial(entrepot, 20, 20, waits_for="memory"),
        phases=("requests", "half", "latency"),
    ),
    Contender("vllm-router", "gateway", "no key", routers.vllm_router),
    Contender("sglang-router", "gateway", "key", routers.sglang_router),
    Contender("smg", "gateway", "key", routers.smg),
    Contender("tensorzero", "gateway", "no key", routers.tensorzero),
    Contender("ferrogw", "gateway", "keys in SQLite", routers.ferrogw),
    Contender("portkey", "gateway", "no key", applications.portkey, SLOW),
    Contender("any-llm", "gateway", "keys, priced usage in SQLite", applications.any_llm, SLOWEST),
    Contender("mlflow", "gateway", "usage in SQLite, no key", applications.mlflow, SLOWEST),
    Contender("litellm", "gateway", "key", applications.litellm, SLOWER),
    # For phases of their own.
    Contender("nginx-tls", "yardstick", "key; upstream over TLS 1.3", _tls_nginx),
    Contender("entrepot-tls", "ours", "everything; upstream over TLS 1.3", _tls_entrepot),
    Contender("nginx-2", "yardstick", "key; 2 workers", partial(targets.nginx, workers=2)),
    Contender("entrepot-2", "ours", "everything; 2 workers", partial(entrepot, 20, 20, workers=2)),
    Contender("nginx-4", "yardstick", "key; 4 workers", partial(targets.nginx, workers=4)),
    Contender("entrepot-4", "ours", "everything; 4 workers", partial(entrepot, 20, 20, workers=4)),
)
CONTENDERS = {contender.name: contender for contender in _ALL}
_BY_NAME_ONLY = (
    "uvicorn",
    "entrepot-1000keys",
    "entrepot-budgeted",
    "entrepot-full",
    *(f"{n}-{how}" for n in (YARDSTICK, OURS) for how in ("tls", "2", "4")),
)
EVERYBODY = tuple(name for name in CONTENDERS if name not in _BY_NAME_ONLY)
DEFAULT = (DIRECT, YARDSTICK, "uvicorn", OURS)


def start_all(children: Children, mock: MockUpstream, names: Sequence[str], notes: list[str]) -> dict[str, Target]:
    """The targets that can run here, started and ready; what is left out is noted.

    All start before the first is waited for. Raises: RuntimeError for one of ours or a yardstick that does not answer.
    """
    started: dict[str, Target] = {}
    for name in names:
        try:
            started[name] = CONTENDERS[name].start(children, mock)
        except ToolMissing as error:
            notes.append(str(error))
    running: dict[str, Target] = {}
    for name, target in started.items():
        contender = CONTENDERS[name]
        try:
            target.await_ready()
            _check_keys(contender, target)
        except (RuntimeError, OSError, ValueError) as error:
            if contender.kind in {"ours", "yardstick"}:
                raise
            notes.append(f"{name} is left out: {str(error).splitlines()[0]}")
        else:
            running[name] = target
    return running


def _check_keys(contender: Contender, target: Target) -> None:
    """Raises: RuntimeError for one that is said to check keys and does not."""
    if contender.name != DIRECT and "no key" not in contender.does and not refuses_strangers(target):
        raise RuntimeError(f"{contender.name} lets a wrong key through, so there is nothing to compare")
