"""Readings into the ledger, as far as usage is complete."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from entrepot.core.charges import Reading
from entrepot.core.journal import JournalEntry
from entrepot.core.periods import Instant, hour_of
from entrepot.core.world import WorldIndex
from entrepot.ledger.post import free_key, usage_entry, usage_key
from entrepot.metering.completeness import complete_hours, watermark
from entrepot.metering.units import changed_customers, first_unit, unit_readings
from entrepot.ports.books import Books, LedgerStore
from entrepot.rating.rate_usage import Rater


def pass_mark(books: Books, terms: WorldIndex | None, at: Instant, piece: int) -> str | None:
    """Posts the hours that are complete, as accrue does, and then moves the watermark.

    It moves to the mark, or to the oldest open request before it.
    """
    mark = watermark(at, books.oldest_open())
    if terms is not None:
        count_units(books, terms.declared, hour_of(mark))
    reached = None if terms is None else accrue(books, terms, complete_hours(mark), piece)
    if reached is None:
        books.save_watermark(mark)
    return reached


def count_units(books: Books, declared: WorldIndex, until: Instant) -> None:
    """Counts the minutes of provisioned units that are not counted yet before the instant, as the world has them."""
    through = books.units_through()
    if until > through and first_unit(declared) is not None:
        books.add_readings(unit_readings(declared, through, until))
        books.save_units_through(until)


def recount_units(books: Books, before: WorldIndex, after: WorldIndex) -> None:
    """Adds what a new world makes of minutes that were counted under the one before: its dates may be past ones."""
    through = books.units_through()
    customers = changed_customers(before, after, through)
    if not customers:
        return
    readings = unit_readings(after, 0, through, customers)
    for key, minutes in unit_readings(before, 0, through, customers).items():
        readings[key] = readings.get(key, 0) - minutes
    books.add_readings({key: minutes for key, minutes in readings.items() if minutes})


def accrue(books: Books, terms: WorldIndex, before: Instant, piece: int) -> str | None:
    """Posts what is not posted yet of hours that start before the instant: one entry per contract and hour.

    terms: the world with what earlier worlds declared. Late usage of an hour makes the hour's next entry.
    piece: how many readings to post, up to the end of a contract. Comes back: the last contract that was posted, when
    others may be left; None when nothing is.
    """
    readings = books.unposted_readings(before, piece)
    rater = Rater(terms, lambda pool: books.pooled(pool).posted)
    hours = groupby(readings, key=lambda reading: (reading.series.contract, reading.hour))
    entries = [_entry(books, terms, rater, list(hour)) for _, hour in hours]
    books.append_entries([entry for entry in entries if entry.postings])
    books.mark_posted(readings)
    books.save_posted_pools(rater.pooled)
    return readings[-1].series.contract if len(readings) >= piece else None


def _entry(ledger: LedgerStore, terms: WorldIndex, rater: Rater, readings: Sequence[Reading]) -> JournalEntry:
    contract, hour = readings[0].series.contract, readings[0].hour
    key = free_key(partial(ledger.has_entry, hour=hour), partial(usage_key, contract, hour))
    return usage_entry(key, terms.contract(contract).charged_in, [rater.rate(reading) for reading in readings])
