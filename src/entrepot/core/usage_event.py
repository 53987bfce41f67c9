"""The usage event: the immutable fact of one request (or of one imported record), and its canonical bytes."""

import hashlib
from typing import Literal

import msgspec

from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.tokens import METERS, TIERS

Source = Literal["reported", "counted", "estimated"]

# How a request ended, in the words of docs/operations/usage-rules.md, which gives the billing rule of each.
Outcome = Literal[
    "stop", "length", "tool_calls", "content_filter", "client_left", "upstream_failed", "gateway_lost", "imported"
]

# How an attempt ended that gave the client no answer: the upstream refused it with a status; said nothing in time;
# broke off; answered what cannot be relayed; could not be reached again; another was faster; the client left; nobody
# knows, for the gateway was lost.
AttemptOutcome = Literal[
    "refused", "silent", "broken", "unusable", "unreachable", "outrun", "client_left", "gateway_lost"
]


class UsageEvent(msgspec.Struct, frozen=True, array_like=True, omit_defaults=False, gc=False):
    """What one request used.

    meters: units by meter, mutually exclusive, summing to the upstream's totals; sorted by name so that equal events
    have equal bytes. source: reported by the upstream, counted by us from its stream, or estimated after a loss.
    raw: the upstream's usage object verbatim. corrects: the id of the event that this one amends.
    upstream and key are "" for imported usage.
    """

    id: str
    admitted_at: Instant
    finished_at: Instant
    customer: str
    project: str
    deployment: str
    model: str
    tier: str
    meters: dict[str, int]
    source: Source = "reported"
    outcome: Outcome = "imported"
    upstream: str = ""
    key: str = ""
    raw: bytes = b""
    corrects: str | None = None


# More than any provider serves in a month; beyond it a hand or a unit has slipped.
QUANTITY_MAX = 10**13

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def payload_digest(event: UsageEvent) -> bytes:
    """16 bytes that differ when anything in the event differs: same id with another digest is a conflict."""
    return hashlib.blake2b(_encoder.encode(event), digest_size=16).digest()


def faults(event: UsageEvent) -> str | None:
    """Why the event cannot be booked as it stands, in a sentence, or None."""
    if not event.id or len(event.id) > 128:
        return "id must have 1 to 128 characters"
    if not event.customer:
        return "customer is missing"
    if not event.model:
        return "model is missing"
    if event.tier not in TIERS:
        return f"tier {event.tier!r} is not one of {', '.join(TIERS)}"
    if not 0 <= event.admitted_at < END_OF_TIME or event.finished_at >= END_OF_TIME:
        return "admitted_at and finished_at must lie between 1970 and 9999"
    if event.finished_at < event.admitted_at:
        return "finished_at is before admitted_at"
    return _meter_faults(event)


def _meter_faults(event: UsageEvent) -> str | None:
    for meter, quantity in event.meters.items():
        if meter not in METERS:
            return f"meter {meter!r} is unknown"
        if quantity < 0 and event.corrects is None:
            return f"{meter} is negative and the record corrects nothing"
        if abs(quantity) > QUANTITY_MAX:
            return f"{meter} is more than {QUANTITY_MAX}"
    return None
