"""What a soak sends at once: plain requests and streams, clients that leave, upstreams that fail, revoked keys."""

from dataclasses import dataclass

from benchmarks.gateway.load import Load

EVENTS = 40  # a stream lasts 0.8 s
PACE_US = 20_000


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One load client. mock: the fault that the upstream is asked for. fails: its requests are to fail.

    share: of the request rate that is adjusted as the soak goes on; 0: connections decide.
    """

    name: str
    connections: int
    share: float = 0.0
    events: int = 0
    mock: str = ""
    fails: bool = False
    stranger: bool = False
    options: tuple[str, ...] = ()

    def load(self, rate: float, seconds: float) -> Load:
        """What it sends for so long."""
        more = (*self.options, "--drain=30")
        return Load(self.connections, 0.0, seconds, self.share * rate, 0.5, self.events, more=more)


def mixture(streams: int) -> tuple[Ingredient, ...]:
    """The ingredients; streams: how many are open at any time."""
    return (
        Ingredient("plain", 64, share=0.86),
        Ingredient("new connections", 16, share=0.10, options=("--requests-per-connection=3",)),
        Ingredient("upstream errors", 4, share=0.01, mock="error", options=("--expect-status=500", "--expect-bytes=1")),
        Ingredient("revoked key", 4, share=0.01, stranger=True, options=("--expect-status=401", "--expect-bytes=1")),
        Ingredient("streams", streams, events=EVENTS),
        Ingredient("left in a stream", max(1, streams // 20), events=EVENTS, options=("--abort-after=7",)),
        Ingredient("left at its head", 4, share=0.02, events=EVENTS, options=("--abort-after=0",)),
        Ingredient("broken streams", 1, events=EVENTS, mock="cut", fails=True),
    )
