"""How long a request was where and what it cost, for a client that asks. Source: W3C Server Timing, sections 2, 3."""

from entrepot.core.money import format_pico
from entrepot.core.periods import Instant
from entrepot.core.usage_event import UsageEvent
from entrepot.flows.serve_inference.stages import Stages

Cost = tuple[int, str] | None  # In pico of a currency.


def timing_field(
    since: Instant, stages: Stages | None, usage: UsageEvent | None, until: Instant, cost: Cost = None
) -> str:
    """The header line, up to an instant; in ms. Of a stream, up to its head."""
    return f"server-timing: {_told(since, stages, usage, until, cost)}\r\n"


def timing_comment(
    since: Instant, stages: Stages | None, usage: UsageEvent | None, until: Instant, cost: Cost = None
) -> bytes:
    """The same as a comment among the events of a stream, which every reader of events skips."""
    return f": server-timing: {_told(since, stages, usage, until, cost)}\n\n".encode()


def _told(since: Instant, stages: Stages | None, usage: UsageEvent | None, until: Instant, cost: Cost) -> str:
    told: list[tuple[str, Instant, Instant]] = []
    if stages is not None:
        told.append(("identity", since, stages.identified_at))
        told.append(("route", stages.identified_at, stages.routed_at))
        for attempt in stages.attempts:
            told.append(("connect", attempt.began_at, attempt.sent_at))
            told.append(("upstream", attempt.sent_at, attempt.head_at or attempt.ended_at))
            told.append(("relay", attempt.head_at, attempt.ended_at))
    if usage is not None:
        told.append(("log", usage.finished_at, until))
    told.append(("total", since, until))
    parts = [f"{name};dur={max(0, end - begin) / 1000:.3f}" for name, begin, end in told if begin and end]
    if usage is not None:
        parts.extend(f'{meter.replace("_", "-")};desc="{quantity}"' for meter, quantity in usage.meters.items())
    if cost is not None:
        parts.append(f'cost;desc="{format_pico(cost[0])} {cost[1]}"')
    return ", ".join(parts)
