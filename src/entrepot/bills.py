"""What months would be invoiced at, in books of their own: from usage events, or from readings."""

from collections.abc import Iterable, Mapping
from itertools import islice

from entrepot.core.charges import Series
from entrepot.core.errors import BadInput
from entrepot.core.invoices import Invoice
from entrepot.core.log_records import MonthClosed, MonthSettled, UsageRecorded, WorldApplied
from entrepot.core.periods import DAY, Instant, Period, parse_period, period_of
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World, WorldIndex, encode_world, installed_after
from entrepot.flows.close_month import end_everywhere, first_charge
from entrepot.flows.show_bill import Bill, show_bill
from entrepot.ports.books import Books
from entrepot.workers import BATCH, Fold


def bill(books: Books, world: World, events: Iterable[UsageEvent], period: str) -> Bill:
    """What a month's invoices would be if each month up to it were closed and settled with all of its usage in.

    books: empty ones, which are filled. Nothing else is touched. Raises: BadInput.
    """
    try:
        wanted = parse_period(period)
    except ValueError as error:
        raise BadInput(str(error)) from None
    worker = Fold(books)
    earliest = wanted.start("UTC")
    with books.transaction():
        worker.apply([WorldApplied(at=0, world=encode_world(world))])
    pending = iter(events)
    while batch := list(islice(pending, BATCH)):
        earliest = min(earliest, *(event.admitted_at for event in batch))
        with books.transaction():
            worker.apply([UsageRecorded(event=event) for event in batch])
    terms = WorldIndex(world, installed_after({}, 0, world))
    begins = min(earliest, first_charge(terms) or earliest)
    # A zone may count the first hours of a month in UTC to the month before.
    month = period_of(max(begins - DAY, 0), "UTC")
    while month <= wanted:
        with books.transaction():
            at = end_everywhere(terms, month)
            worker.apply([MonthClosed(at=at, period=str(month)), MonthSettled(at=at, period=str(month))])
        month = month.next()
    for closing in books.closings(period):
        if closing.refused:
            raise BadInput(closing.refused)
    return show_bill(books, wanted)


def rebill(
    books: Books, world: World, readings: Mapping[tuple[Series, str, Instant], int], first: Period, last: Period
) -> list[Invoice]:
    """What the last month's invoices would be under a world if the months from the first on were closed with readings.

    books: empty ones, which are filled. readings: {(series, meter, hour): quantity} as the world counts usage.
    Raises: BadInput when the world cannot close a month.
    """
    worker = Fold(books)
    terms = WorldIndex(world)
    with books.transaction():
        worker.apply([WorldApplied(at=0, world=encode_world(world))])
        books.add_readings(readings)
        zones = {contract.zone for contract in world.contracts}
        books.save_units_through(min(map(first.start, zones), default=0))  # No month before is asked for.
    month = first
    while month <= last:
        with books.transaction():
            worker.apply([MonthClosed(at=end_everywhere(terms, month), period=str(month))])
        refused = [closing.refused for closing in books.closings(str(month)) if closing.refused]
        if refused:
            raise BadInput(refused[0])
        month = month.next()
    return books.invoices(str(last))
