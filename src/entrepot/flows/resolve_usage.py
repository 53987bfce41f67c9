"""What nobody settled, settled: the upstream is asked what it served, or what was counted is booked.

Of a request, what comes out is appended to the log as ordinary usage; the fold knows nothing of how it was found. So
is that of an answer whose upstream told no usage with it (core.log_records.UsageUntold). Of an
attempt that its request is not charged for, it is appended as the end of that attempt. Only facts that are in the log
or that the upstream states go into a record, so asking twice appends the same record twice.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from entrepot.core.catalog import Upstream
from entrepot.core.log_records import NOTHING_TOLD, Abandoned, AttemptEnded, LogRecord, UsageRecorded, UsageUntold
from entrepot.core.periods import HOUR, SECOND, Instant
from entrepot.core.usage_event import Source, UsageEvent
from entrepot.dialects.openai_usage import UsageMismatch, meters_of
from entrepot.ports.books import Books, ControlStore, OpenRequest
from entrepot.ports.event_log import EventLog
from entrepot.ports.upstream_usage import ServedUsage, UpstreamUsage

PATIENCE_US = HOUR  # How long an upstream may keep silent, or say that it is still at it, before we go by our count.
GRACE_US = 2 * SECOND  # What a gateway sent last may still be on its way to an upstream that says it knows nothing.
ATTEMPTS_AT_ONCE = 100  # Of one upstream, the oldest: nobody waits for them, as a month's close does for requests.
ANSWERS_AT_ONCE = 100  # Of one upstream, the oldest: it may be that it never tells usage with an answer.
ANSWERS_WAITING_MAX = 1000  # Of one upstream, what waits behind so many is not asked about when patience has ended.
_OPEN_AT_ONCE = 100_000  # Requests in memory.
_APPENDED_AT_ONCE = 100


def resolve_usage(books: Books, log: EventLog, lookup: UpstreamUsage, now: Instant) -> int:
    """How many records were appended: of given-up requests, and of attempts beside the one that is charged.

    The others wait for their upstream; ask again later.
    Raises: UsageLogUnavailable; then some may have been appended, and the next try repeats them harmlessly.
    """
    count = 0
    found: list[LogRecord] = []
    for record in _resolved(books, _Upstreams(books, lookup), now):
        found.append(record)
        count += 1
        if len(found) == _APPENDED_AT_ONCE:
            log.append(found)
            found = []
    if found:
        log.append(found)
    return count


class _Upstreams:
    """The upstreams of the world as it is now, asked in one round: a dead one is not asked again in it."""

    def __init__(self, books: ControlStore, lookup: UpstreamUsage) -> None:
        current = books.world()
        self._lookup = lookup
        self._silent: set[str] = set()
        self.by_id = {upstream.id: upstream for upstream in (current[1].upstreams if current else ())}
        # Those on this machine, or said to have a usage lookup.
        self.askable = {name: item for name, item in self.by_id.items() if item.usage_lookup or item.kind != "openai"}

    def ask(self, upstream: Upstream, request_id: str) -> ServedUsage | None:
        """What it served of a request, or None while it says nothing."""
        if upstream.id in self._silent:
            return None
        served = self._lookup.served(upstream, request_id)
        if served is None:
            self._silent.add(upstream.id)
        return served


def _resolved(books: Books, upstreams: _Upstreams, now: Instant) -> Iterator[LogRecord]:
    answers: Counter[str] = Counter()
    for request in books.open_requests(given_up=True, limit=_OPEN_AT_ONCE):
        if request.untold is not None:
            answers[request.untold.event.upstream] += 1
            yield from _told_later(request.untold, upstreams, answers[request.untold.event.upstream], now)
            continue
        event = _unbilled(request, upstreams.by_id)
        is_billed = event is None
        if event is None:
            upstream = upstreams.askable.get(request.upstream)
            served = None if upstream is None else upstreams.ask(upstream, request.admitted.id)
            event = _settlement(request, upstream, served, now)
        if event is not None:
            yield from _ends(request, is_billed=is_billed)
            admitted = request.admitted  # Its gateway's counters keep what they held, for they do not hear of this.
            instance = admitted.instance if admitted.holds else ""
            yield UsageRecorded(event=event, instance=instance, counted=admitted.holds)
    for upstream in upstreams.askable.values():
        for attempt in books.untold_attempts(upstream.id, ATTEMPTS_AT_ONCE):
            told = _told(attempt, upstreams.ask(upstream, attempt.id), now)
            if told is not None:
                yield told


def _told_later(untold: UsageUntold, upstreams: _Upstreams, place: int, now: Instant) -> Iterator[UsageRecorded]:
    """The usage of an answer that came without, as its upstream's account has it, or else as it was recorded at first.

    Nothing while it is worth waiting. place: among such answers of its upstream, from 1.
    """
    event = untold.event
    upstream = upstreams.askable.get(event.upstream)
    if upstream is not None and place > ANSWERS_AT_ONCE:
        if place <= ANSWERS_WAITING_MAX or now < event.finished_at + PATIENCE_US:
            return
    elif upstream is not None:
        served = upstreams.ask(upstream, event.id)
        if _may_yet_tell(served, event.finished_at, now):
            return
        meters = _meters(served.usage) if served is not None and served.state != "running" else {}
        if served is not None and meters:
            meters = dict(sorted((meters | dict(untold.also)).items()))
            event = msgspec.structs.replace(event, meters=meters, source="reported", raw=served.usage)
    yield UsageRecorded(event, untold.instance, untold.counted)


def _ends(request: OpenRequest, *, is_billed: bool) -> Iterator[AttemptEnded]:
    """The ends of attempts that nobody saw end, but for that of the one that the request is billed as."""
    given_up = request.given_up
    assert given_up is not None
    last = len(request.under_way) - 1
    for at, attempt in enumerate(request.under_way[: last if is_billed else None]):
        counted = _counted(request, given_up) if at == last else 0
        ended_at = max(given_up.at, attempt.began_at)
        number, upstream = attempt.number, attempt.upstream
        yield AttemptEnded(attempt.id, number, attempt.began_at, ended_at, upstream, "gateway_lost", 0, counted)


def _told(attempt: AttemptEnded, served: ServedUsage | None, now: Instant) -> AttemptEnded | None:
    """The attempt with what its upstream says it used, or None while it is worth waiting."""
    if served is None or _may_yet_tell(served, attempt.at, now):
        return None
    if served.state in {"running", "unknown"} or not served.usage:
        return msgspec.structs.replace(attempt, raw=NOTHING_TOLD)
    return msgspec.structs.replace(attempt, meters=_meters(served.usage), raw=served.usage)


def _may_yet_tell(served: ServedUsage | None, ended_at: Instant, now: Instant) -> bool:
    """Whether an upstream is to be asked again: it is silent, or still at it, or has perhaps not heard of it yet."""
    if served is not None and served.state == "unknown":
        return now < ended_at + GRACE_US
    return (served is None or served.state == "running") and now < ended_at + PATIENCE_US


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
    counted = _counted(request, given_up)
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
    return _event(request, given_up, "reported", _meters(usage), usage)


def _meters(usage: bytes) -> dict[str, int]:
    """The meters of a usage object; none where its parts contradict its totals."""
    try:
        return meters_of(usage)
    except UsageMismatch:
        return {}


def _counted(request: OpenRequest, given_up: Abandoned) -> int:
    """How many output tokens were relayed, as far as we know."""
    return max(request.output_tokens, given_up.output_tokens)


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
