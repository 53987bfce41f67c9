"""Requests that nobody settled, settled: the upstream is asked what it served, or what was counted is booked.

What comes out is appended to the log as ordinary usage; the fold knows nothing of how it was found. Only facts that
are in the log or that the upstream states go into the event, so asking twice appends the same event twice.
"""

from entrepot.core.catalog import Upstream
from entrepot.core.log_records import Abandoned, UsageRecorded
from entrepot.core.periods import HOUR, SECOND, Instant
from entrepot.core.usage_event import Source, UsageEvent
from entrepot.core.world import World
from entrepot.dialects.openai_usage import UsageMismatch, meters_of
from entrepot.ports.books import Books, ControlStore, OpenRequest
from entrepot.ports.event_log import EventLog
from entrepot.ports.upstream_usage import ServedUsage, UpstreamUsage

PATIENCE_US = HOUR  # How long an upstream may keep silent, or say that it is still at it, before we go by our count.
GRACE_US = 2 * SECOND  # What a gateway sent last may still be on its way to an upstream that says it knows nothing.
_APPENDED_AT_ONCE = 100


def resolve_usage(books: Books, log: EventLog, lookup: UpstreamUsage, now: Instant) -> int:
    """How many given-up requests were settled. The others wait for their upstream; ask again later.

    Raises: UsageLogUnavailable; then some may have been appended, and the next try repeats them harmlessly.
    """
    upstreams = _upstreams(books)
    silent: set[str] = set()
    settled: list[UsageRecorded] = []
    count = 0
    for request in books.open_requests(given_up=True):
        upstream = upstreams.get(request.upstream)
        if upstream is not None and not _can_be_asked(upstream):
            upstream = None
        served = None
        if upstream is not None and upstream.id not in silent:
            served = lookup.served(upstream, request.admitted.id)
            if served is None:
                silent.add(upstream.id)  # One question to a dead upstream per round is enough.
        event = _unbilled(request, upstreams) or _settlement(request, upstream, served, now)
        if event is not None:
            admitted = request.admitted  # Its gateway's counters keep what they held, for they do not hear of this.
            instance = admitted.instance if admitted.holds else ""
            settled.append(UsageRecorded(event=event, instance=instance, counted=admitted.holds))
            count += 1
        if len(settled) == _APPENDED_AT_ONCE:
            log.append(settled)
            settled = []
    if settled:
        log.append(settled)
    return count


def _upstreams(books: ControlStore) -> dict[str, Upstream]:
    current = books.world()
    world: World | None = current[1] if current else None
    return {upstream.id: upstream for upstream in (world.upstreams if world else ())}


def _can_be_asked(upstream: Upstream) -> bool:
    """Whether it is on this machine, or is said to have a usage lookup."""
    return upstream.usage_lookup or upstream.kind != "openai"


def _unbilled(request: OpenRequest, upstreams: dict[str, Upstream]) -> UsageEvent | None:
    """The event of a request that costs nothing: no attempt came to anything, or by its upstream's rule."""
    given_up = request.given_up
    assert given_up is not None
    upstream = upstreams.get(request.upstream)
    by_rule = upstream is not None and upstream.rules.on_client_abort == "no_bill"
    if request.upstream and not (by_rule and given_up.outcome != "upstream_failed"):
        return None
    return _event(request, given_up, "reported", {})


def _settlement(
    request: OpenRequest, upstream: Upstream | None, served: ServedUsage | None, now: Instant
) -> UsageEvent | None:
    """The usage to book for a request, or None while it is worth waiting."""
    given_up = request.given_up
    assert given_up is not None
    counted = max(request.output_tokens, given_up.output_tokens)
    came_back = given_up.answered or counted > 0
    if served is not None and served.state in ("finished", "cancelled") and served.usage:
        return _reported(request, given_up, served.usage)
    if served is not None and served.state == "unknown" and not came_back:
        return _event(request, given_up, "reported", {}) if now >= given_up.at + GRACE_US else None
    # An upstream that denies a request whose answer we relayed has forgotten it; our count is all there is.
    forgotten = served is not None and served.state != "running"
    if upstream is not None and not forgotten and now < given_up.at + PATIENCE_US:
        return None
    if not came_back:
        return _event(request, given_up, "estimated", {})
    meters = dict(request.admitted.counts) or {
        "input_tokens": request.admitted.prompt_tokens_estimate,
        "output_tokens": counted,
    }
    return _event(request, given_up, "estimated", {meter: quantity for meter, quantity in meters.items() if quantity})


def _reported(request: OpenRequest, given_up: Abandoned, usage: bytes) -> UsageEvent:
    """The upstream's own account; where its parts contradict its totals, without meters, for quarantine."""
    try:
        meters = meters_of(usage)
    except UsageMismatch:
        meters = {}
    return _event(request, given_up, "reported", meters, usage)


def _event(
    request: OpenRequest, given_up: Abandoned, source: Source, meters: dict[str, int], raw: bytes = b""
) -> UsageEvent:
    admitted = request.admitted
    return UsageEvent(
        id=admitted.id,
        admitted_at=admitted.at,
        finished_at=max(given_up.at, admitted.at),
        customer=admitted.customer,
        project=admitted.project,
        deployment=admitted.deployment,
        model=admitted.model,
        tier=given_up.tier or admitted.tier,
        meters=meters,
        source=source,
        outcome=given_up.outcome,
        upstream=request.upstream or admitted.upstream,
        key=admitted.key,
        raw=raw,
    )
