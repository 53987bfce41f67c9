"""The phases of a run: what is sent to which target, and how hard."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.gateway.compared import Strength
from benchmarks.gateway.load import Load

PACE_US = 20_000  # 50 events a second, a brisk model
SLOW_PACE_US = 100_000
# 200 streams begin 5.1 ms apart, so that their events come 0.1 ms apart and no two are ready together.
SPREAD_S = 1.02
BURST_EVENTS = 64
BIG_BODY_BYTES = 32 * 1024
MANY_STREAMS = 1000
STALL_S = 0.5  # A stream of 50 events a second that says nothing for so long has stalled.
FULL_ROUNDS = 1_000


@dataclass(frozen=True, slots=True)
class Phase:
    """One way of loading targets.

    what: "request" or "event", which costs are said for. paced: latency means something, and neighbours are held off
    where that was asked for. rounds: at most so many. only: the targets it is for; () for all that are in the run.
    beside: those of the run that have their turns with these. kinds: of all, the ones it is for; () for all.
    yardstick: whose costs ratios are to.
    """

    name: str
    title: str
    load: Load
    what: str = "request"
    pace_us: int = 0
    paced: bool = False
    rounds: int = FULL_ROUNDS
    only: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    yardstick: str = "nginx"

    def load_for(self, strength: Strength, requests_per_s: float) -> Load:
        """The load as the target can bear it. requests_per_s: what it can answer at most, as far as is known."""
        if self.name == "memory":
            return replace(self.load, connections=strength.held)
        if self.name == "streams" or self.only:
            return self.load
        if self.what == "event" and self.paced:
            return replace(self.load, connections=strength.streams)
        if self.name == "half":
            return replace(self.load, rate=requests_per_s / 2)
        if self.load.rate:
            return replace(self.load, rate=min(self.load.rate, strength.rate))
        return replace(self.load, connections=min(self.load.connections, strength.connections))


def phases(window_s: float) -> Mapping[str, Phase]:
    """All phases by name, in the order in which they run."""
    plain = Load(256, 0.7, window_s)
    paced = _streams(200, PACE_US, window_s)
    many = replace(_streams(MANY_STREAMS, PACE_US, max(3.0, window_s), 2.0), stall_s=STALL_S, more=("--drain=30",))
    burst = Load(16, 0.5, window_s, events=BURST_EVENTS)
    single = ("nginx", "entrepot")
    tls, two, four = (tuple(f"{name}-{suffix}" for name in single) for suffix in ("tls", "2", "4"))
    known = (
        Phase("memory", "Memory at open streams", _streams(1000, SLOW_PACE_US, 1.0, 2.0), "event",
              SLOW_PACE_US, rounds=1),
        Phase("requests", "Plain requests, as many as it can", plain),
        Phase("half", "Plain requests at half of what it can", replace(plain, warm_s=0.5, rate=1), paced=True,
              rounds=2),
        Phase("latency", "Plain requests, 500 a second", Load(64, 0.5, window_s, rate=500), paced=True),
        Phase("body", "Plain requests with bodies of 32 kB", replace(plain, body_bytes=BIG_BODY_BYTES), rounds=2),
        Phase("events", "Streams at 50 events a second", paced, "event", PACE_US, paced=True),
        Phase("unasked", "The same, usage not asked for by the client", replace(paced, asks_usage=False), "event",
              PACE_US, paced=True),
        Phase("burst", f"Streams of {BURST_EVENTS} events at full speed", burst, "event", rounds=2),
        Phase("streams", f"{MANY_STREAMS} streams at 50 events a second", many, "event", PACE_US, paced=True,
              rounds=2, kinds=("yardstick", "ours")),
        Phase("tls-requests", "Plain requests, upstream over TLS", plain, only=tls, rounds=3, yardstick=tls[0]),
        Phase("tls-events", "Streams at 50 events a second, upstream over TLS", paced, "event", PACE_US, paced=True,
              only=tls, rounds=3, yardstick=tls[0]),
        Phase("two-workers", "Plain requests, two workers on one port, on any core", plain, only=two, beside=single,
              rounds=3, yardstick=two[0]),
        Phase("four-workers", "Plain requests, four workers on one port, on any core", plain, only=four, beside=single,
              rounds=3, yardstick=four[0]),
    )  # fmt: skip
    return {phase.name: phase for phase in known}


def _streams(streams: int, pace_us: int, window_s: float, stagger_s: float = SPREAD_S) -> Load:
    """Streams that all begin before the window and end behind it: what is measured is events and nothing else."""
    warm_s = stagger_s + 0.5
    events = int((warm_s + window_s + 0.5) * 1e6 / pace_us)
    return Load(streams, warm_s, window_s, stagger_s=stagger_s, events=events)
