"""A trace booked as usage: whose each row is, when, and under which id.

The id of a row is made of what it says, so that importing it again changes nothing, also from another cut of the trace,
and booking it on somebody else is a conflict and not a second charge. A label makes it other usage on purpose.
Rows of a client that say the same are told apart by their number among those of the same instant. A file that begins or
ends within such a run holds some of its rows, and these get the first numbers: two cuts that overlap give the whole run
as soon as one of them holds all of it. Two cuts that touch or overlap inside one run of identical rows do not
say how many there were; for a cut that begins where another ends, `after` tells.
"""

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from entrepot.core.errors import BadInput
from entrepot.core.periods import DAY, Instant, parse_instant
from entrepot.core.usage_event import QUANTITY_MAX, UsageEvent
from entrepot.core.world import World
from entrepot.ports.usage_rows import RowFault, TraceBatch, TraceRow

_NS_PER_US = 1000
_AZURE_2023 = parse_instant("2023-11-16")  # The one day of AzureLLMInferenceTrace_2023; see examples/data/SOURCES.md.


class Target(msgspec.Struct, frozen=True):
    """A deployment that rows of a trace may be booked on, and its share among them."""

    customer: str
    project: str
    deployment: str
    model: str
    weight: int = 1


class Placing(msgspec.Struct, frozen=True):
    """How a trace becomes usage.

    origin: the trace's own first day; shift_to: the day it is moved to. per_request: (input, output) tokens of each
    request, for traces that count requests only. label: tells uses of the same rows apart.
    """

    trace: str
    targets: tuple[Target, ...]
    origin: Instant = 0
    shift_to: Instant = 0
    per_request: tuple[int, int] | None = None
    tier: str = "default"
    label: str = ""


class BookedRows(NamedTuple):
    """A batch of a trace as events, and the rows that could not become any."""

    events: list[UsageEvent]
    faults: list[RowFault]


class TraceBooking:
    """Turns rows into events, in file order; remembers, for each client, the rows of its current instant."""

    def __init__(self, placing: Placing) -> None:
        assert placing.targets, "rows need somebody to be booked on"
        self._placing = placing
        self._ends = list(accumulate(target.weight for target in placing.targets))
        self._runs: dict[str, tuple[int, Counter[TraceRow]]] = {}

    def after(self, batch: TraceBatch) -> None:
        """Takes note, without booking them, of rows of the same trace that come before the first."""
        for row in batch.rows:
            with suppress(ValueError):  # A row in disorder was rejected with its own part.
                self._number(row)

    def book(self, batch: TraceBatch) -> BookedRows:
        """The events of a batch and its faults. Raises: BadInput when neither rows nor placing speak of tokens."""
        booked = BookedRows([], list(batch.faults))
        for row in batch.rows:
            try:
                booked.events.extend(self._events(row))
            except ValueError as error:
                booked.faults.append(RowFault(line=row.line, reason=str(error), row=_shown(row)))
        return booked

    def _number(self, row: TraceRow) -> int:
        """Which of the rows saying the same this is, from 0. Raises: ValueError when time runs backwards."""
        at_ns, seen = self._runs.get(row.client, (-1, Counter()))
        if row.at_ns < at_ns:
            raise ValueError("is earlier than the row before it; a trace is read in the order of its times, so sort it")
        if row.at_ns > at_ns:
            seen = Counter()
            self._runs[row.client] = (row.at_ns, seen)
        same = row._replace(line=0)
        seen[same] += 1
        return seen[same] - 1

    def _events(self, row: TraceRow) -> list[UsageEvent]:
        placing = self._placing
        said = (placing.trace, placing.label, *row[1:], self._number(row))
        at = row.at_ns // _NS_PER_US - placing.origin + placing.shift_to
        if at < 0:
            raise ValueError("lies before 1970; move the trace with --shift-to")
        meters = self._meters(row)
        if row.requests * max(meters.values()) > QUANTITY_MAX:
            raise ValueError("counts more tokens than one row can mean")
        return [
            UsageEvent(
                id=_id(row, said, target),
                admitted_at=at,
                finished_at=at,
                customer=target.customer,
                project=target.project,
                deployment=target.deployment,
                model=target.model,
                tier=placing.tier,
                meters={meter: quantity * requests for meter, quantity in meters.items() if quantity},
            )
            for target, requests in self._shares(row, _draw(said))
            if requests
        ]

    def _meters(self, row: TraceRow) -> dict[str, int]:
        """The tokens of one request by meter, in the meters' order."""
        if row.input_tokens is None or row.output_tokens is None:
            if self._placing.per_request is None:
                raise BadInput("this trace counts requests and not tokens; give --tokens-per-request INPUT,OUTPUT")
            given, taken = self._placing.per_request
            return {"input_tokens": given, "output_tokens": taken}
        fresh = row.input_tokens - row.cached_input_tokens
        return {
            "cached_input_tokens": row.cached_input_tokens,
            "input_tokens": fresh,
            "output_tokens": row.output_tokens,
        }

    def _shares(self, row: TraceRow, draw: int) -> Iterator[tuple[Target, int]]:
        """Whose the requests are: one target's, for a single request or a known client, else everybody's by weight."""
        targets, total = self._placing.targets, self._ends[-1]
        if row.client:
            yield targets[bisect_right(self._ends, _draw((self._placing.trace, row.client)) % total)], row.requests
        elif row.requests == 1:
            yield targets[bisect_right(self._ends, draw % total)], 1
        else:
            # Cut at the targets' ends after a shift that differs from row to row: nothing is lost, nobody is favoured.
            cuts = [0, *((end * row.requests + draw % total) // total for end in self._ends)]
            yield from zip(targets, (after - before for before, after in pairwise(cuts)), strict=True)


def _draw(said: tuple[object, ...]) -> int:
    """A number that looks drawn by lot and is always the same for the same row."""
    return int.from_bytes(hashlib.blake2b(repr(said).encode(), digest_size=8).digest())


def _id(row: TraceRow, said: tuple[object, ...], target: Target) -> str:
    """32 hex digits that begin with the trace's own time, as our event ids begin with theirs.

    A window of requests is divided, so each of its shares is told from the others by whose it is.
    """
    whose = () if row.client or row.requests == 1 else (target.project, target.deployment)
    return f"{row.at_ns // 10**6:012x}{hashlib.blake2b(repr((said, whose)).encode(), digest_size=10).hexdigest()}"


def _shown(row: TraceRow) -> str:
    return msgspec.json.encode(row._asdict()).decode()


def known_origin(trace: str, first_ns: int | None) -> Instant | None:
    """The first day of a published trace, so that its parts are moved alike; None where it must be said.

    first_ns: the time of a first row, if there is any. Traces that count from their own beginning begin at 0.
    """
    if trace != "azure" or first_ns is None:
        return 0
    return _AZURE_2023 if _AZURE_2023 <= first_ns // _NS_PER_US < _AZURE_2023 + DAY else None


def find_targets(world: World, weights: Mapping[str, int]) -> tuple[Target, ...]:
    """The deployments named "project/deployment" with their weights, in the order of their names.

    Raises: BadInput for a name the world does not declare, or a weight below 1.
    """
    customers = {project.id: project.customer for project in world.projects}
    known = {f"{deployment.project}/{deployment.id}": deployment for deployment in world.deployments}
    targets = []
    for name, weight in sorted(weights.items()):
        if name not in known:
            raise BadInput(f"the world declares no deployment {name}; write project/deployment")
        if weight < 1:
            raise BadInput(f"the weight of {name} is {weight}; it must be at least 1")
        found = known[name]
        targets.append(Target(customers[found.project], found.project, found.id, found.model, weight))
    if not targets:
        raise BadInput("the world declares no deployments that a trace could be booked on; apply one first")
    return tuple(targets)
