"""A partner's own count beside ours: its files into the log, and what of a month does not agree."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from entrepot.core.charges import Series
from entrepot.core.errors import NO_WORLD, BadInput, NotFound
from entrepot.core.log_records import AttemptEnded, PartnerReported
from entrepot.core.money import format_pico, parse_pico
from entrepot.core.partner_usage import COST, PartnerCharges, ReportedKind
from entrepot.core.periods import HOUR, Instant, Period, format_instant, local_time, parse_instant
from entrepot.core.service_tiers import owed_tier
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World, WorldIndex
from entrepot.ports.books import Books
from entrepot.ports.clock import Clock
from entrepot.ports.event_log import EventLog
from entrepot.ports.partner_files import PartnerFile
from entrepot.reconciling.compare import Comparison, Finding, PriceOf, Unmapped
from entrepot.reconciling.our_counts import COUNTED_AT, CountedAt, OurCounts
from entrepot.reconciling.partner_rows import read_rows

ROWS_AT_ONCE = 2000  # In one record of the log; a few hundred kilobytes.
_LONGEST_US = 6 * HOUR  # A request that began earlier than this before a midnight is not on its way any more.


class ImportedReport(msgspec.Struct, frozen=True):
    """What came of a file. known: rows that the books had from the same file. left_out: rows of other services."""

    partner: str
    file: str
    digest: str
    rows: int
    known: int
    left_out: int
    days: tuple[str, ...]


class CellTotal(msgspec.Struct, frozen=True):
    """A month of one model, upstream and meter, over the days that the partner tells of."""

    model: str
    upstream: str
    meter: str
    ours: str
    theirs: str
    difference: str


class Reconciliation(msgspec.Struct, frozen=True):
    """A partner's month. counted_at: at which end of a request the partner counts it, as its own counts show.

    untold: days that no file of a kind covers. worth: what all findings of units come to, and, apart from that, those
    of prices; None where a price is missing. waiting: units of ours that are of requests in quarantine.
    """

    partner: str
    period: str
    agrees: bool
    counted_at: CountedAt
    currency: str
    findings: tuple[Finding, ...]
    worth: str | None
    price_worth: str
    charged: str
    totals: tuple[CellTotal, ...]
    unmapped: tuple[Unmapped, ...]
    untold: dict[ReportedKind, tuple[str, ...]]
    waiting: int


def import_report(
    books: Books, log: EventLog, clock: Clock, partner: str, file: PartnerFile, columns: Mapping[str, str]
) -> ImportedReport:
    """What came of a partner's file, which is in the log afterwards; the same file again changes nothing.

    Raises: NotFound for an unknown partner, BadInput naming what cannot be read; UsageLogUnavailable.
    """
    charges = _charges(_world(books), partner)
    read = read_rows(file, columns, charges.zone)
    known = 0
    for part, start in enumerate(range(0, max(len(read.rows), 1), ROWS_AT_ONCE)):
        rows = tuple(read.rows[start : start + ROWS_AT_ONCE])
        if books.has_report(partner, file.digest, part):
            known += len(rows)
            continue
        days = tuple(read.days) if part == 0 else ()
        log.append([PartnerReported(clock.now(), partner, file.name, file.digest, part, days, rows)])
    labels = tuple(sorted({_label(starts, charges.zone) for starts, _ in read.days}))
    return ImportedReport(partner, file.name, file.digest, len(read.rows), known, read.left_out, labels)


def reconcile_partner(
    books: Books, terms: WorldIndex | None, partner: str, period: Period, progress: Callable[[int], object]
) -> Reconciliation:
    """What a partner reports of a month beside what we counted. progress: told how many events were counted.

    Raises: NotFound, BadInput with what to declare or import.
    """
    if terms is None:
        raise BadInput(NO_WORLD)
    charges = _charges(terms.world, partner)
    if not charges.upstreams:
        raise BadInput(f"partner {partner} has no charges.upstreams; declare which key of its is which upstream")
    bounds = _days_of(period, charges.zone)
    labels = [_label(start, charges.zone) for start in bounds[:-1]]
    rows = books.reported(partner, bounds[0], bounds[-1])
    told = _told(books.reported_days(partner, bounds[0], bounds[-1]), bounds)
    if not any(any(days) for days in told.values()):
        raise NotFound(f"nothing of {partner} for {period} was imported; `entrepot reconcile import {partner} FILE`")
    by_key = any(row.key for row in rows)
    ways = [OurCounts(way, bounds, charges.upstreams.values(), charges.skew_us, by_key=by_key) for way in COUNTED_AT]
    _count(ways, books, bounds, progress)
    comparison = Comparison(charges, labels, told, _models_of(terms.world, charges), _prices(terms, charges, bounds))
    for row in rows:
        comparison.add(row, bisect_right(bounds, row.starts) - 1, by_key=by_key)
    return _document(partner, period, comparison, comparison.likeliest(ways), labels, told)


def _document(
    partner: str,
    period: Period,
    comparison: Comparison,
    ours: OurCounts,
    labels: Sequence[str],
    told: Mapping[ReportedKind, Sequence[bool]],
) -> Reconciliation:
    findings = tuple(comparison.findings(ours))
    unmapped = tuple(comparison.unmapped())
    worths = [item.worth for item in findings if item.kind != "price"]
    prices = [item.worth for item in findings if item.kind == "price"]
    return Reconciliation(
        partner=partner,
        period=str(period),
        agrees=not findings and not unmapped,
        counted_at=ours.counted_at,
        currency=" ".join(sorted(comparison.currencies)),
        findings=findings,
        worth=None if None in worths else _sum(worths),
        price_worth=_sum(prices),
        charged=format_pico(comparison.cost(), 2),
        totals=tuple(
            CellTotal(*cell, str(mine), str(theirs), str(theirs - mine))
            for cell, mine, theirs in comparison.totals(ours)
        ),
        unmapped=unmapped,
        untold={
            kind: tuple(label for label, is_told in zip(labels, days, strict=True) if not is_told)
            for kind, days in told.items()
            if any(days)
        },
        waiting=sum(ours.waiting.values()),
    )


def _sum(worths: Sequence[str | None]) -> str:
    return format_pico(sum(parse_pico(worth) for worth in worths if worth is not None), 2)


def _count(
    ways: Sequence[OurCounts], books: Books, bounds: Sequence[Instant], progress: Callable[[int], object]
) -> None:
    since, until = bounds[0] - _LONGEST_US, bounds[-1] + HOUR
    served = books.served_tiers(since, until)

    def owed(event_id: str, billed: str) -> str:
        return served.get(event_id) or owed_tier(billed)

    for number, (_, event) in enumerate(books.booked_events(since, until), start=1):
        tier = owed(event.id, event.tier)
        for ours in ways:
            ours.add_event(event, tier)
        if number % 100_000 == 0:
            progress(number)
    waiting = books.quarantined()
    for item in waiting:
        if item.kind == "unpriced" and since <= item.event.admitted_at < until:
            tier = owed(item.event.id, item.event.tier)
            for ours in ways:
                ours.add_event(item.event, tier, waits=True)
    _count_attempts(ways, books.ended_attempts(since, until), {item.event.id: item.event for item in waiting})


def _count_attempts(
    ways: Sequence[OurCounts],
    attempts: Iterable[tuple[Series | None, AttemptEnded]],
    waiting: Mapping[str, UsageEvent],
) -> None:
    """Counts those whose request is booked, or waits in quarantine."""
    for series, attempt in attempts:
        request = series or waiting.get(attempt.id)
        if request is not None:
            tier = owed_tier(request.tier)
            for ours in ways:
                ours.add_attempt(request.model, tier, attempt, waits=series is None)


def _world(books: Books) -> World:
    declared = books.world()
    if declared is None:
        raise BadInput(NO_WORLD)
    return declared[1]


def _charges(world: World, partner: str) -> PartnerCharges:
    for item in world.partners:
        if item.id == partner:
            return item.charges or PartnerCharges()
    raise NotFound(f"no partner {partner!r}; declared are {', '.join(item.id for item in world.partners)}")


def _models_of(world: World, charges: PartnerCharges) -> dict[str, str]:
    """{the partner's name of a model: ours}."""
    names = {model.id: model.id for model in world.models}
    for upstream in world.upstreams:
        if upstream.id in charges.upstreams.values():
            names |= {theirs: model for model, theirs in upstream.models.items()}
    return names


def _prices(terms: WorldIndex, charges: PartnerCharges, bounds: Sequence[Instant]) -> PriceOf:
    """What a unit costs us by the declared price book; only where that does not depend on quantity, hour or length."""
    versions = terms.price_versions(charges.price_book, charges.zone) if charges.price_book else []

    def price_of(model: str, meter: str, tier: str, day: int) -> int | None:
        known = [version for begins, version in versions if begins <= bounds[day]]
        price = terms.prices(known[-1].id).price(model, meter, tier) if known else None
        return price.unit_pico if price is not None and price.mode == "flat" else None

    return price_of


def _told(days: Sequence[tuple[Instant, ReportedKind]], bounds: Sequence[Instant]) -> dict[ReportedKind, list[bool]]:
    kinds: tuple[ReportedKind, ...] = ("usage", COST)
    told = {kind: [False] * (len(bounds) - 1) for kind in kinds}
    for starts, kind in days:
        told[kind][bisect_right(bounds, starts) - 1] = True
    return told


def _days_of(period: Period, zone: str) -> list[Instant]:
    """The start of each day of the month in the zone, and the end of the last; a day may have 23 hours or 25."""
    end = period.end(zone)
    starts = []
    for day in range(1, 32):
        try:
            start = parse_instant(f"{period}-{day:02d}", zone)
        except ValueError:
            break
        starts.append(start)
    return [*starts, end]


def _label(starts: Instant, zone: str) -> str:
    return format_instant(local_time(starts, zone))[:10]
