"""What a new world would change on a past month: its usage counted again, invoiced under both, customer by customer."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal, NamedTuple

import msgspec

from entrepot.core.charges import Series
from entrepot.core.invoices import Invoice
from entrepot.core.money import format_pico, parse_pico
from entrepot.core.periods import END_OF_TIME, Instant, Period, format_instant, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Commitment, Credit
from entrepot.core.tokens import METERS_OF_UNITS
from entrepot.core.world import World, WorldIndex
from entrepot.metering.aggregate import increments, summed
from entrepot.metering.record import Recorder
from entrepot.ports.books import Books
from entrepot.reporting.price_lines import CustomerDiff, customer_diffs

_AT_ONCE = 20_000

Usage = dict[tuple[Series, str, Instant], int]
# (world, usage as it counts it, first month, last month) -> the last month's invoices
Rebill = Callable[[World, Usage, Period, Period], Iterable[Invoice]]


class Unpriced(msgspec.Struct, frozen=True):
    """Usage that the new world has no price for. units: of all meters together; left out of what is new."""

    customer: str
    units: int
    reason: str


class Total(msgspec.Struct, frozen=True):
    """All customers whose currency stays, in one currency."""

    currency: str
    old: str
    new: str
    difference: str


class PriceDiff(msgspec.Struct, frozen=True):
    """A month under the world as it is and under a new one. as_of: the instant whose terms the new one is taken by.

    counted_by: whether the usage was counted again reading by reading or, where an hour has more than one price, event
    by event; {customer: how}.
    """

    period: str
    as_of: str | None
    totals: tuple[Total, ...]
    customers: tuple[CustomerDiff, ...]
    unpriced: tuple[Unpriced, ...]
    counted_by: dict[str, Literal["readings", "events"]]


def price_diff(
    books: Books,
    terms: WorldIndex,
    candidate: World,
    period: Period,
    rebill: Rebill,
    *,
    as_of: Instant | None = None,
    by_events: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> PriceDiff:
    """What the candidate would change on the month.

    as_of: takes the contracts and prices in force then for all of time. by_events: counts every event again, also
    where readings would do. progress: told how many events were counted.
    """
    wanted = candidate if as_of is None else in_force_always(candidate, as_of)
    span = _span(terms, wanted, period)
    recorder = Recorder(WorldIndex(wanted, terms.installed))  # What units served is served by them still.
    old, new, counted = _by_readings(books, span, recorder)
    if by_events:
        counted.by_event |= {series.customer for series, _, _ in old}
    if counted.by_event:
        kept = {key: units for key, units in new.items() if key[0].customer not in counted.by_event}
        new = kept | _by_events(books, span, recorder, counted, progress)
    names = {customer.id: customer.name for customer in (*terms.world.customers, *candidate.customers)}
    invoices = (rebill(terms.world, old, span.first, period), rebill(wanted, new, span.first, period))
    customers = tuple(customer_diffs(*invoices, str(period), names))
    return PriceDiff(
        period=str(period),
        as_of=None if as_of is None else format_instant(as_of),
        totals=tuple(_totals(customers)),
        customers=customers,
        unpriced=tuple(
            Unpriced(customer, units, reason) for (customer, reason), units in sorted(counted.unpriced.items())
        ),
        counted_by={item.customer: "events" if item.customer in counted.by_event else "readings" for item in customers},
    )


def in_force_always(world: World, at: Instant) -> World:
    """The world with only the contracts and price versions in force at an instant, from the beginning to the end."""
    contracts = tuple(
        msgspec.structs.replace(contract, effective_from=0, effective_to=END_OF_TIME)
        for contract in world.contracts
        if contract.effective_from <= at < contract.effective_to
    )
    newest = {}
    for version in sorted(world.price_books, key=lambda version: version.begins("UTC")):
        if version.begins("UTC") <= at:
            newest[version.book] = msgspec.structs.replace(version, effective_from=0, effective_date="")
    return msgspec.structs.replace(
        world, contracts=contracts, price_books=tuple(sorted(newest.values(), key=lambda version: version.id))
    )


def newest_terms(current: World, candidate: World) -> Instant | None:
    """When the last of the candidate's new contracts and price versions begins; None where it has no new ones."""
    contracts = [item.effective_from for item in candidate.contracts if item not in current.contracts]
    versions = [item.begins("UTC") for item in candidate.price_books if item not in current.price_books]
    return max((*contracts, *versions), default=None)


class _Span(NamedTuple):
    """The months, first to last, whose usage is counted again, in the zone of the contract it was counted under."""

    terms: WorldIndex
    first: Period
    last: Period

    def holds(self, series: Series, at: Instant) -> bool:
        """Whether usage of the series admitted then is of the months."""
        zone = self.terms.contract(series.contract).zone
        return self.first.start(zone) <= at < self.last.end(zone)

    def bounds(self) -> tuple[Instant, Instant]:
        """Between which everything of the months lies."""
        zones = {contract.zone for contract in self.terms.world.contracts}
        return min(map(self.first.start, zones)), max(map(self.last.end, zones))


class _Counted:
    """Customers whose usage has to be counted event by event, and usage without a price."""

    def __init__(self) -> None:
        self.by_event: set[str] = set()
        self.unpriced: Counter[tuple[str, str]] = Counter()


def _by_readings(books: Books, span: _Span, recorder: Recorder) -> tuple[Usage, Usage, _Counted]:
    """(usage as it was counted, the same as the new world counts it, what readings cannot tell of that)."""
    old: Usage = {}
    new: Usage = defaultdict(int)
    counted = _Counted()
    for reading in books.readings(*span.bounds()):
        series = reading.series
        if reading.meter in METERS_OF_UNITS or not span.holds(series, reading.hour):
            continue
        old[series, reading.meter, reading.hour] = reading.quantity
        place = recorder.recount(reading)
        if place is None:
            counted.by_event.add(series.customer)
        elif isinstance(place, str):
            counted.unpriced[series.customer, place] += reading.quantity
        else:
            new[place, reading.meter, reading.hour] += reading.quantity
    return old, dict(new), counted


def _by_events(
    books: Books, span: _Span, recorder: Recorder, counted: _Counted, progress: Callable[[int], object]
) -> Usage:
    """The usage of the customers that need it, from their events."""
    for told in [told for told in counted.unpriced if told[0] in counted.by_event]:
        del counted.unpriced[told]
    usage: Usage = defaultdict(int)
    events = (
        event
        for series, event in books.booked_events(*span.bounds())
        if series.customer in counted.by_event and span.holds(series, event.admitted_at)
    )
    done = 0
    while batch := list(islice(events, _AT_ONCE)):
        metered, refused = recorder.record(batch)
        for key, units in increments(summed(metered)).items():
            usage[key] += units
        for item in refused:
            counted.unpriced[item.event.customer, item.reason] += sum(item.event.meters.values())
        done += len(batch)
        progress(done)
    return dict(usage)


def _span(terms: WorldIndex, wanted: World, period: Period) -> _Span:
    return _Span(terms, min(_first_month(terms.world, period), _first_month(wanted, period)), period)


def _first_month(world: World, period: Period) -> Period:
    """The first month whose usage decides what the period costs: that in which a commitment or credit of it begins."""
    return min([period, *(month for contract in world.contracts for month in _commitment_months(contract, period))])


def _commitment_months(contract: Contract, period: Period) -> Iterator[Period]:
    begins, ends = period.start(contract.zone), period.end(contract.zone)
    for term in contract.terms:
        if isinstance(term, Commitment | Credit) and term.begins < ends and begins < term.ends:
            yield period_of(term.begins, contract.zone)


def _totals(customers: Iterable[CustomerDiff]) -> Iterator[Total]:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for item in customers:
        if item.difference is not None:
            sums[item.currency][0] += parse_pico(item.old)
            sums[item.currency][1] += parse_pico(item.new)
    for currency, (old, new) in sorted(sums.items()):
        yield Total(currency, format_pico(old, 2), format_pico(new, 2), format_pico(new - old, 2))
