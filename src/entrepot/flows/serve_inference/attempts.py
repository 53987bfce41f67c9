"""What one attempt at an upstream means for the next one, for the upstream's health, and for the log."""

from typing import Protocol

import msgspec

from entrepot.core.errors import EntrepotError, UpstreamFailed
from entrepot.core.log_records import Admitted
from entrepot.core.periods import SECOND, Instant
from entrepot.core.service_tiers import billed_tier, owed_tier
from entrepot.core.usage_event import Source
from entrepot.dialects import openai
from entrepot.dialects.answers import NOTHING_ELSE
from entrepot.dialects.openai_usage import UsageMismatch
from entrepot.dialects.openai_wire import UpstreamError
from entrepot.dialects.operations import Operation
from entrepot.flows.serve_inference.client import Client
from entrepot.flows.serve_inference.shared import Shared
from entrepot.flows.serve_inference.ways import Way
from entrepot.relay.destination import Destination, redact
from entrepot.relay.http1 import AnswerHead
from entrepot.routing.endpoint import Endpoint
from entrepot.routing.fleet import Fleet

# What an upstream says of itself and not of the request: our key, its load, its faults. Another one may do better.
_OF_ITSELF = frozenset({401, 403, 429, 500, 502, 503, 504})
_SECONDS_MAX = 6  # Digits of a Retry-After that are worth a look.


def speaks_of_itself(status: int) -> bool:
    """Whether the same request can be expected to fare better elsewhere."""
    return status in _OF_ITSELF


def judge(fleet: Fleet[Way], endpoint: Endpoint, head: AnswerHead | None, at: Instant) -> None:
    """Tells the fleet of an answer that speaks of its upstream, or that there was none: it wants a rest, or it fails.

    Too many requests (429) are no fault of its, and a Retry-After is kept to with every status.
    """
    if head is None:
        fleet.failed(endpoint, at)
        return
    if head.status != 429:
        fleet.failed(endpoint, at)
    after = head.field(b"retry-after")
    if after.isdigit() and len(after) <= _SECONDS_MAX:
        fleet.rest(endpoint, at, int(after) * SECOND)


class Told(Protocol):
    """A client, as far as it is told of errors."""

    def refuse(self, error: EntrepotError) -> None:
        """An error of our own."""
        ...

    def relay_error(self, status: int, error: UpstreamError, retry_after: bytes) -> None:
        """An error of the upstream's."""
        ...


def relay_refusal(client: Told, head: AnswerHead, body: bytes, destination: Destination) -> None:
    """Tells the upstream's error in the client's dialect; where our own key or request is at fault, ours."""
    status = head.status
    if status < 400 or status in {401, 403}:
        client.refuse(UpstreamFailed(f"The upstream refused the gateway itself (status {status})."))
        return
    error = told_in(body, destination)
    client.relay_error(status, error, head.field(b"retry-after"))


def told_in(body: bytes, destination: Destination) -> UpstreamError:
    """The upstream's error, without what only the upstream and we know."""
    error = openai.read_error(body)
    secrets = destination.secrets
    inner = (msgspec.Raw(redact(bytes(raw).decode(), secrets)) for raw in (error.innererror, error.inner_error))
    return UpstreamError(redact(error.message, secrets), error.type, error.param, error.code, *inner)


def as_served(admitted: Admitted, said: str, client: Client, shared: Shared) -> Admitted:
    """The admission with the tier that is billed, of a request whose upstream says what it was served at.

    When that is another one, the client is told, and it is counted. What the upstream is owed for is in the log where
    it is neither of them.
    """
    tier = billed_tier(admitted.tier, said)
    owed = owed_tier(tier, said)
    if owed != owed_tier(tier):
        shared.usage.served_at(admitted, owed)
    if tier == admitted.tier:
        return admitted
    client.tell_tier(tier, "upstream")
    shared.lowered[admitted.upstream] = shared.lowered.get(admitted.upstream, 0) + 1
    return msgspec.structs.replace(admitted, tier=tier)


def metered(
    operation: Operation,
    admitted: Admitted,
    usage: bytes,
    counted: int | None,
    also: dict[str, int] = NOTHING_ELSE,
    known: dict[str, int] | None = None,
) -> tuple[dict[str, int] | None, Source]:
    """(units by meter, how sure they are); None for a usage object that does not sum up.

    counted: what of the answer we counted ourselves, for an upstream that reports none; None when nothing was served.
    also: by meter, what was used beside the usage object. known: its meters, where they were read with the answer.
    """
    source: Source = "reported"
    if known is not None:
        meters = known
    elif usage:
        try:
            meters = operation.answers.meters_of(usage)
        except UsageMismatch:
            return None, source
    elif counted is not None:
        source = "counted"
        meters = operation.answers.book(admitted.counts, admitted.prompt_tokens_estimate, counted)
    else:
        meters = {}
    if also and meters:
        meters = dict(sorted((meters | also).items()))
    return meters, source
