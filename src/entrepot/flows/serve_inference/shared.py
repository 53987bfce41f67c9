"""What the exchanges of a process have in common."""

from typing import Protocol

from entrepot.core.usage_event import Outcome
from entrepot.flows.serve_inference.ways import Ways
from entrepot.metering.usage_writer import UsageWriter


class UnderWay(Protocol):
    """An exchange, as far as others than its upstream and its client have to do with it."""

    def progress(self) -> tuple[str, int] | None:
        """Its id and how many output tokens have been relayed, when there are more than it said last time."""
        ...

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """Its client is gone, or this process stops."""
        ...


class Shared:
    """mismatches: usage objects that did not sum up; hedges: requests that a second upstream was asked for as well.

    lowered: {upstream: n} of requests at priority that it says it served, so that they are billed, at default.
    streams: those under way; left: those whose client has left while the answer is read to its end.
    """

    def __init__(self, usage: UsageWriter, ways: Ways) -> None:
        self.usage = usage
        self.ways = ways
        self.streams: set[UnderWay] = set()
        self.left: set[UnderWay] = set()
        self.mismatches = 0
        self.hedges = 0
        self.lowered: dict[str, int] = {}

    def tick(self) -> None:
        """To be called about once a second: says how far the streams under way have come."""
        told = [stream.progress() for stream in self.streams]
        self.usage.progress([each for each in told if each is not None])
