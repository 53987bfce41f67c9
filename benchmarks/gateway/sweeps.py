"""What is varied in a curve: one quantity at a time, everything else as in the benchmark's phases."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.gateway.load import Load, MockUpstream, chat_body
from benchmarks.gateway.processes import Children
from benchmarks.gateway.product import OTHER_KEY, entrepot
from benchmarks.gateway.targets import KEY, Target, nginx

Starter = Callable[[Children, MockUpstream], Target]
EVENTS_PER_S = 5000  # of all streams together, however many there are
WARM_S = 0.5
STARTS_PER_S = 1000  # of streams
_PLAIN = Load(64, WARM_S, 1.0)


def _entrepot(children: Children, mock: MockUpstream) -> Target:
    return entrepot(20, 20, children, mock)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of what is varied. starters: {line: target}; the same ones as the point before are not started again.

    idle: connections that are held open meanwhile and do nothing. keys: how many keys clients take turns with.
    """

    x: int
    load: Load
    pace_us: int = 0
    idle: int = 0
    keys: int = 1
    starters: tuple[tuple[str, Starter], ...] = (("entrepot", _entrepot), ("nginx", nginx))


@dataclass(frozen=True, slots=True)
class Sweep:
    """One curve. what: "request" or "event"; memory: whether memory is told, too; why: it is as it is."""

    name: str
    title: str
    across: str
    points: tuple[Point, ...]
    why: str
    what: str = "request"
    memory: bool = False


def sweeps(window_s: float) -> dict[str, Sweep]:
    """All curves by name."""
    plain = replace(_PLAIN, window_s=window_s)
    known = (
        Sweep("body", "CPU per request against the size of its body", "body, kB",
              tuple(Point(kb, replace(plain, connections=32, body_bytes=kb * 1024))
                    for kb in (1, 4, 16, 64, 256, 1024)),
              "Flat up to about 16 kB, then with its size, as nginx's: the kernel copies it in and out. The rest is "
              "one pass over the JSON to find the few fields that decide, and copies that put pieces together."),
        Sweep("chunks", "CPU per answer and event against the events of an answer", "events in an answer, 500 a second",
              tuple(Point(n, _answers(n, window_s), 2000) for n in (1, 10, 100, 1000)),
              "An answer's own cost (admission, settlement, the wait for the flush) is spread over its events; from "
              "100 events on it is the event that costs.", "event"),
        Sweep("tenants", "CPU per request against the number of keys", "keys, of up to 1000 customers",
              tuple(Point(n, plain, keys=n, starters=_world(min(n, 1000), n, 1))
                    for n in (1, 100, 1000, 10_000, 100_000)),
              "Flat in time: a key is one look into a dict. Memory grows with the snapshot, about half a kB a key.",
              memory=True),
        Sweep("deployments", "CPU per request against the deployments of a project", "deployments",
              tuple(Point(n, plain, starters=_world(1, 1, n)) for n in (1, 10, 100, 1000)),
              "Nearly flat: a deployment is one look into a dict; four times a second each pool's retry budget is "
              "brought up to date, some microseconds a hundred pools.", memory=True),
        Sweep("streams", f"CPU per event against open streams, {EVENTS_PER_S} events a second in all", "open streams",
              tuple(_streams(n, window_s) for n in (10, 100, 1000, 5000)),
              "With few streams many events are read in one turn of the loop; with thousands what belongs to a stream "
              "is no more in the processor's caches when its next event comes; the bare relay pays for that, too.",
              "event", memory=True),
        Sweep("idle", "CPU per request against idle connections", "idle connections",
              tuple(Point(n, plain, idle=n) for n in (1, 100, 1000, 5000)),
              "Flat: what waits costs memory and is looked at four times a second.", memory=True),
    )  # fmt: skip
    return {sweep.name: sweep for sweep in known}


def _world(customers: int, keys: int, deployments: int) -> tuple[tuple[str, Starter], ...]:
    return (("entrepot", partial(entrepot, customers, keys, deployments=deployments)),)


def _answers(events: int, window_s: float) -> Load:
    """Streams that begin and end all the time."""
    return Load(20, WARM_S, window_s, stagger_s=WARM_S, events=events, more=("--drain=20",))


def _streams(count: int, window_s: float) -> Point:
    pace_us = count * 1_000_000 // EVENTS_PER_S
    stagger_s = max(1.0, count / STARTS_PER_S)
    warm_s = stagger_s + WARM_S
    events = int((warm_s + window_s + 0.5) * 1e6 / pace_us) + 1
    load = Load(count, warm_s, window_s, stagger_s=stagger_s, events=events, more=("--drain=30",))
    return Point(count, load, pace_us)


@contextlib.contextmanager
def idle_connections(port: int, key: str, count: int) -> Iterator[None]:
    """While it lasts so many connections are open that have each had an answer and want nothing more."""
    body = chat_body(Load(1, 0, 0))
    fields = f"Host: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    request = f"POST /v1/chat/completions HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body
    with contextlib.ExitStack() as open_now:
        for _ in range(count):
            connection = open_now.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(request)
            if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("an idle connection was not served at first")
        yield


def key_list(count: int, used: int) -> Sequence[str]:
    """As many keys as clients use at once, spread over all of them."""
    step = max(1, count // used)
    return [KEY if number == 0 else OTHER_KEY.format(number) for number in range(0, count, step)][:used]
