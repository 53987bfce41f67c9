"""A partner's days as real traces have them: requests an hour (BurstGPT), lengths of real conversations (Azure).

What the partner counts is counted here by itself: on the day a request ended by its clock, from the same requests.
"""

import csv
import gzip
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import cycle

from entrepot.core.partner_usage import PartnerCharges, ReportedRow
from entrepot.core.periods import DAY, HOUR, SECOND, parse_instant
from entrepot.core.usage_event import UsageEvent
from entrepot.reconciling.compare import Comparison, Finding
from entrepot.reconciling.our_counts import COUNTED_AT, OurCounts
from tests.support.tree import ROOT

FIRST = parse_instant("2024-03-01")
KEYS = {"key_a": "east", "key_b": "west"}
MODELS = ("gpt-4", "gpt-4o")
CHARGES = PartnerCharges(upstreams=KEYS)
_DATA = ROOT / "examples" / "data"
_OUTPUT_TOKENS_A_SECOND = 40
_START = 24 * 20 + 14  # So that our midnights fall into the busy hours, where they matter.


def requests(days: int, busiest: int, seed: int = 1) -> list[UsageEvent]:
    """Requests of some days in order of admission. busiest: how many a model and a key have in the busiest hour."""
    chance = random.Random(seed)
    with (_DATA / "burstgpt1_hourly.csv").open() as file:
        hourly = [int(row["requests"]) for row in csv.DictReader(file)][_START : _START + 24 * days]
    with gzip.open(_DATA / "AzureLLMInferenceTrace_2023_conv.csv.gz", "rt") as file:
        lengths = cycle([(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)])
    made: list[UsageEvent] = []
    for hour, volume in enumerate(hourly):
        for model in MODELS:
            for upstream in KEYS.values():
                for _ in range(max(1, volume * busiest // max(hourly))):
                    admitted_at = FIRST + hour * HOUR + chance.randrange(HOUR)
                    asked, answered = next(lengths)
                    lasted = SECOND + answered * SECOND // _OUTPUT_TOKENS_A_SECOND
                    made.append(_event(len(made), admitted_at, lasted, model, upstream, asked, answered))
    return sorted(made, key=lambda event: event.admitted_at)


def _event(
    number: int, admitted_at: int, lasted: int, model: str, upstream: str, asked: int, answered: int
) -> UsageEvent:
    return UsageEvent(
        id=f"{number:032x}",
        admitted_at=admitted_at,
        finished_at=admitted_at + lasted,
        customer="acme",
        project="search",
        deployment=model,
        model=model,
        tier="default",
        meters={"input_tokens": asked, "output_tokens": answered},
        outcome="stop",
        upstream=upstream,
    )


def told(events: Iterable[UsageEvent], clock_us: int = 0) -> list[ReportedRow]:
    """What the partner says of the requests. clock_us: how far its clock is ahead."""
    keys = {upstream: key for key, upstream in KEYS.items()}
    cells: dict[tuple[int, str, str, str], int] = defaultdict(int)
    for event in events:
        ended = event.finished_at + clock_us
        for meter, quantity in event.meters.items():
            cells[ended - ended % DAY, keys[event.upstream], event.model, meter] += quantity
    return [
        ReportedRow(starts, "", key, model, meter, quantity=str(quantity))
        for (starts, key, model, meter), quantity in sorted(cells.items())
    ]


def lost(events: Sequence[UsageEvent], day: int, model: str, upstream: str, share: float) -> set[str]:
    """Ids of requests of one day, model and upstream, in its middle, that have so much of its tokens together."""
    of_cell = [
        event
        for event in events
        if (event.model, event.upstream, (event.admitted_at - FIRST) // DAY) == (model, upstream, day)
    ]
    wanted = share * sum(sum(event.meters.values()) for event in of_cell)
    ids: set[str] = set()
    taken = 0.0
    for event in of_cell[len(of_cell) // 2 :]:
        if taken >= wanted:
            return ids
        ids.add(event.id)
        taken += sum(event.meters.values())
    raise AssertionError("not enough requests to lose")


def findings(ours: Iterable[UsageEvent], theirs: Iterable[ReportedRow], days: int) -> list[Finding]:
    """What comes of holding them against each other."""
    bounds = [FIRST + day * DAY for day in range(days + 1)]
    ways = [OurCounts(way, bounds, KEYS.values(), CHARGES.skew_us, by_key=True) for way in COUNTED_AT]
    for event in ours:
        for counts in ways:
            counts.add_event(event, event.tier)
    labels = [f"2024-03-{day + 1:02d}" for day in range(days)]
    names = {model: model for model in MODELS}
    all_told = {"usage": [True] * days, "cost": [False] * days}
    comparison = Comparison(CHARGES, labels, all_told, names, lambda *_: 10**6)  # type: ignore[arg-type]
    for row in theirs:
        day = (row.starts - FIRST) // DAY
        if 0 <= day < days:
            comparison.add(row, day, by_key=True)
    return comparison.findings(comparison.likeliest(ways))
