"""Log, store, readings, ledger and invoices held against each other, each counted by itself: zero or an incident."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain

import msgspec

from entrepot.core.charges import Charge, Reading
from entrepot.core.invoices import ACCRUED_KINDS, Invoice
from entrepot.core.log_records import Reconciled
from entrepot.core.money import format_pico
from entrepot.core.periods import DAY, HOUR, Instant, Period, format_instant, hour_of, parse_period, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Commitment
from entrepot.core.tokens import METERS_OF_UNITS, RESERVED_MINUTES
from entrepot.core.world import WorldIndex
from entrepot.ledger.chart_of_accounts import income_reservations, income_usage
from entrepot.metering.log_count import LogDays
from entrepot.ports.books import Books
from entrepot.rating.rate_usage import Rater
from entrepot.reconciling.five_counts import Accrued, Place, invoice_faults, ledger_faults, unit_faults
from entrepot.reconciling.paper import Rated, line_faults, months_together, sum_faults, together_faults

_LATEST_DAYS = 7  # What was missed longer ago is for `entrepot reconcile month`.
_FAULTS_MAX = 20


class FiveWays(msgspec.Struct, frozen=True):
    """What came of it. units: how many hourly sums of a contract's meter were compared; accruals: hours of a model.

    by_quantity: accruals whose price or rounding depends on the month's quantity, compared over a whole month only.
    """

    since: str
    until: str
    agrees: bool
    faults: tuple[str, ...]
    places: int
    accruals: int
    by_quantity: int
    invoices: int


def due_day(books: Books, after: Instant = 0) -> tuple[Instant, Instant] | None:
    """The next day that is complete and was not reconciled yet, in UTC; None when there is none.

    after: the end of the last one, where the books may not know of it yet.
    """
    complete = books.watermark() - books.watermark() % DAY
    known = [record.until for record in books.reconciliations() if record.until - record.since == DAY]
    since = max((*known, *([after] if after else ())), default=complete - DAY)
    since = max(since, complete - _LATEST_DAYS * DAY)
    return (since, since + DAY) if since + DAY <= complete and since >= 0 and complete else None


def record_of(found: FiveWays, since: Instant, until: Instant, at: Instant) -> Reconciled:
    """What the log keeps of it."""
    return Reconciled(at, since, until, found.faults)


def reconcile_hours(
    books: Books,
    terms: WorldIndex,
    days: LogDays,
    since: Instant,
    until: Instant,
    *,
    month: Period | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> FiveWays:
    """What of the hours of [since, until) does not agree. month: compares its sums and its invoices' lines, too.

    days: of the log, read up to where the books of that one moment were folded. Raises: LogDamaged.
    """
    with books.snapshot():
        log = {Place(*key): units for key, units in days.count(since, until, books.position(), progress).items()}
        store = _of_store(books, terms, since, until)
        readings: dict[Place, int] = defaultdict(int)
        invoiced: dict[Place, int] = defaultdict(int)
        for reading in books.counted_readings(since, until):
            place = Place(reading.series.contract, reading.hour, reading.meter)
            invoiced[place] += reading.invoiced
            if reading.meter not in METERS_OF_UNITS:  # Neither log nor store has events of them.
                readings[place] += reading.quantity
        taken: dict[Place, int] = defaultdict(int)
        for item in books.invoiced_readings(since, until):
            taken[Place(item.series.contract, item.hour, item.meter)] += item.quantity
        accruals, by_quantity = _accruals(books, terms, since, until)
        invoices = _papers(books, month)
        faults = chain(
            unit_faults(log, store, readings),
            ledger_faults(accruals),
            _balance_faults(books, since, until),
            _month_faults(books, terms, month),
            invoice_faults(invoiced, taken),
            (f"the invoices: {number} is not what was issued" for number in books.damaged_invoices()),
            *(_paper_faults(books, terms, invoice) for invoice in invoices),
        )
        found = tuple(fault for _, fault in zip(range(_FAULTS_MAX), faults, strict=False))
    return FiveWays(
        since=format_instant(since),
        until=format_instant(until),
        agrees=not found,
        faults=found,
        places=len(log.keys() | store.keys() | readings.keys()),
        accruals=len(accruals),
        by_quantity=by_quantity,
        invoices=len(invoices),
    )


def bounds_of(terms: WorldIndex, month: Period) -> tuple[Instant, Instant]:
    """Between which the month lies in every contract's zone."""
    zones = {"UTC", *(contract.zone for contract in terms.world.contracts)}
    return min(map(month.start, zones)), max(map(month.end, zones))


# ---- the store -------------------------------------------------------------------------------------


def _of_store(books: Books, terms: WorldIndex, since: Instant, until: Instant) -> dict[Place, int]:
    units: dict[Place, int] = defaultdict(int)
    begins: dict[tuple[str, Instant], Instant] = {}
    for series, event in books.booked_events(since, until):
        zone, hour = terms.contract(series.contract).zone, hour_of(event.admitted_at)
        known = begins.get((zone, hour))
        if known is None:  # A month that begins within the hour cuts it.
            cut = period_of(hour + HOUR - 1, zone).start(zone)
            known = begins[zone, hour] = max(hour, cut)
        place_hour = known if event.admitted_at >= known else hour
        for meter, quantity in event.meters.items():
            if quantity:
                units[Place(series.contract, place_hour, meter)] += quantity
    return units


# ---- the ledger ------------------------------------------------------------------------------------


def _accruals(
    books: Books, terms: WorldIndex, since: Instant, until: Instant
) -> tuple[dict[tuple[str, Instant, str], Accrued], int]:
    """({(contract, hour, model): both sides}, how many were left out because the month's quantity decides)."""
    sides: dict[tuple[str, Instant, str], Accrued] = defaultdict(lambda: Accrued(defaultdict(int), []))
    by_quantity = set()
    rater = Rater(terms)
    for reading in books.counted_readings(since, until):
        key = (reading.series.contract, reading.hour, reading.series.model)
        charge = rater.rate(Reading(reading.series, reading.meter, reading.hour, reading.posted))
        if charge.unit_pico is None or reading.meter in METERS_OF_UNITS:
            by_quantity.add(key)
        sides[key].rated[reading.meter] += charge.amount_pico
    for entry in books.usage_entries(since, until):
        contract = entry.key.removeprefix("usage:").rsplit(":", 2)[0]
        for leg in entry.postings:
            kind, _, model = leg.account.partition("income:usage:")
            if not kind and model:
                sides[contract, entry.at, model].legs.append(-leg.amount_pico)
    return {key: accrued for key, accrued in sides.items() if key not in by_quantity}, len(by_quantity)


def _balance_faults(books: Books, since: Instant, until: Instant) -> Iterator[str]:
    """A sentence for each entry of the hours whose legs do not sum to zero."""
    for entry in books.usage_entries(since, until):
        off = sum(leg.amount_pico for leg in entry.postings)
        if off:
            where = f"entry {entry.key}, hour {format_instant(entry.at)}"
            yield f"the ledger: {where}: its legs are off by {format_pico(off)}"


def _month_faults(books: Books, terms: WorldIndex, month: Period | None) -> Iterator[str]:
    """A sentence for each of a contract's incomes of the month that is not what its posted readings cost together."""
    if month is None:
        return
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    rater = Rater(terms)
    for reading in books.counted_readings(*bounds_of(terms, month)):
        contract = reading.series.contract
        if period_of(reading.hour, terms.contract(contract).zone) == month:
            charge = rater.rate(Reading(reading.series, reading.meter, reading.hour, reading.posted))
            account = income_reservations() if reading.meter == RESERVED_MINUTES else income_usage(reading.series.model)
            sums[contract, account][0] += charge.amount_pico
    for entry in books.usage_entries(*bounds_of(terms, month)):
        contract = entry.key.removeprefix("usage:").rsplit(":", 2)[0]
        if period_of(entry.at, terms.contract(contract).zone) == month:
            for leg in entry.postings:
                if leg.account.startswith("income:"):
                    sums[contract, leg.account][1] -= leg.amount_pico
    for (contract, account), (rated, posted) in sorted(sums.items()):
        if rated != posted:
            yield (
                f"the ledger: contract {contract}, month {month}, {account}: readings come to {format_pico(rated)}, "
                f"entries to {format_pico(posted)}"
            )


# ---- the invoices ----------------------------------------------------------------------------------


def _papers(books: Books, month: Period | None) -> list[Invoice]:
    """The invoices of a month; of a day none, since a line is of a month."""
    return [] if month is None else [item for item in books.invoices(str(month)) if not item.corrects]


def _paper_faults(books: Books, terms: WorldIndex, invoice: Invoice) -> Iterator[str]:
    """A sentence for each line that is not what the readings it took come to; late ones are of earlier months."""
    rater, contract = Rater(terms), terms.contract(invoice.contract)
    is_converted = contract.charged_in != contract.currency
    together: dict[Period, tuple[Period, Commitment | None]] = {}
    for line in invoice.lines:
        if line.kind in ACCRUED_KINDS:
            first, last, commitment = months_together(contract, parse_period(line.period))
            charges = [rater.rate(reading) for reading in books.readings_of_line(invoice.number, line.number)]
            one_price = commitment is None and all(_has_one_price(charge) for charge in charges)
            if not one_price:
                together[first] = (last, commitment)
            yield from line_faults(invoice, line, charges, contract, one_price=one_price and not is_converted)
    for first, (last, commitment) in together.items() if not is_converted else ():
        lines = _rated_lines(books, terms, contract, first, last)
        yield from together_faults(contract, first, commitment, list(lines))
    yield from sum_faults(invoice, terms.world.operator.rounding)
    if not books.has_entry(f"invoice:{invoice.number}"):
        yield f"the ledger: invoice {invoice.number}, contract {invoice.contract}, was never posted"


def _has_one_price(charge: Charge) -> bool:
    return charge.unit_pico is not None and charge.meter not in METERS_OF_UNITS


def _rated_lines(books: Books, terms: WorldIndex, contract: Contract, first: Period, last: Period) -> Iterator[Rated]:
    """All of a contract's lines of these months that have readings, rated one after the other."""
    rater = Rater(terms)
    for invoice in books.invoices(contract=contract.id):
        for line in invoice.lines:
            if line.kind in ACCRUED_KINDS and str(first) <= line.period <= str(last):
                readings = books.readings_of_line(invoice.number, line.number)
                yield Rated(line, sum(rater.rate(reading).amount_pico for reading in readings))
