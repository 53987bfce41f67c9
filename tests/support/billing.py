"""Small worlds and usage for tests of the books."""

from collections.abc import Iterable, Iterator, Sequence

from entrepot.adapters.sql.books import open_books
from entrepot.core.catalog import Model, Partner, Upstream
from entrepot.core.charges import Series
from entrepot.core.invoices import Invoice, InvoiceLine
from entrepot.core.log_records import Admitted, LogRecord, UsageRecorded, WorldApplied, decode_record, encode_record
from entrepot.core.money import Rounding
from entrepot.core.periods import END_OF_TIME, Instant, hour_of, parse_instant
from entrepot.core.prices import Price, PriceBookVersion, unit_price
from entrepot.core.tenancy import Contract, Customer, Deployment, Project
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import Operator, World, encode_world
from entrepot.ports.books import Books, MeteredUsage
from entrepot.ports.event_log import Position
from entrepot.workers import fold

MARCH = parse_instant("2024-03-01")
APRIL = parse_instant("2024-04-01")


def prices(*rows: tuple[str, str, str], tier: str = "default") -> tuple[Price, ...]:
    """Prices from (model, meter, per million)."""
    return tuple(Price(model, meter, tier, unit_price(text, "per_million")) for model, meter, text in rows)


def version(rows: Sequence[Price], begins: str = "2024-01-01", book: str = "list") -> PriceBookVersion:
    """A version of a book that begins at 00:00 UTC of a date."""
    return PriceBookVersion(f"{book}@{begins}", book, parse_instant(begins), tuple(rows))


def contract(customer: str, **changes: object) -> Contract:
    """A contract on the book "list" in USD and UTC since 2024, with changes."""
    fields: dict[str, object] = {
        "customer": customer,
        "effective_from": parse_instant("2024-01-01"),
        "effective_to": END_OF_TIME,
        "price_book": "list",
        "currency": "USD",
        "zone": "UTC",
        **changes,
    }
    fields.setdefault("id", f"{customer}@2024-01-01")
    return Contract(**fields)  # type: ignore[arg-type]


def world(
    *versions: PriceBookVersion,
    contracts: Sequence[Contract] = (),
    customers: Sequence[str] = ("acme",),
    projects: Sequence[Project] = (),
    deployments: Sequence[Deployment] = (),
    upstreams: Sequence[Upstream] = (),
    rounding: Rounding = "half_up",
) -> World:
    """A world of customers with a contract each, unless other contracts are given."""
    return World(
        operator=Operator(name="Contoso Cloud", currency="USD", rounding=rounding),
        partners=(Partner(id="own", name="Contoso"),),
        models=(Model(id="m", version="1", partner="own", context_tokens=8192, stage="general"),),
        upstreams=tuple(upstreams),
        price_books=tuple(versions),
        customers=tuple(Customer(id=name, name=name.title()) for name in customers),
        contracts=tuple(contracts) or tuple(contract(name) for name in customers),
        projects=tuple(projects),
        deployments=tuple(deployments),
    )


def usage(event_id: str, at: Instant | str = MARCH, **changes: object) -> UsageEvent:
    """Ten input tokens of customer acme on model m, with changes; one second long."""
    admitted_at = parse_instant(at) if isinstance(at, str) else at
    fields: dict[str, object] = {
        "id": event_id,
        "admitted_at": admitted_at,
        "finished_at": admitted_at + 1_000_000,
        "customer": "acme",
        "project": "search",
        "deployment": "chat",
        "model": "m",
        "tier": "default",
        "meters": {"input_tokens": 10},
        **changes,
    }
    return UsageEvent(**fields)  # type: ignore[arg-type]


class ListLog:
    """A log in memory: appended to like one, read like one. Positions are (0, records before)."""

    def __init__(self, records: Iterable[LogRecord] = ()) -> None:
        self.records = list(records)

    def append(self, records: Sequence[LogRecord]) -> None:
        """See ports.event_log."""
        self.records.extend(records)

    def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
        """See ports.event_log. Every record takes the way through its bytes."""
        for offset, record in enumerate(self.records[after.offset : after.offset + limit], start=after.offset + 1):
            yield Position(0, offset), decode_record(encode_record(record))


def applied(declared: World, at: Instant = 0) -> WorldApplied:
    """The record of a world."""
    return WorldApplied(at=at, world=encode_world(declared))


def recorded(*events: UsageEvent) -> list[LogRecord]:
    """The records of usage events."""
    return [UsageRecorded(event=event) for event in events]


def admitted(event_id: str, at: Instant = MARCH, instance: str = "one", **changes: object) -> Admitted:
    """An admitted request of customer acme for model m at upstream east."""
    fields: dict[str, object] = {
        "id": event_id,
        "at": at,
        "instance": instance,
        "customer": "acme",
        "project": "search",
        "deployment": "chat",
        "model": "m",
        "tier": "default",
        "upstream": "east",
        "key": "key-1",
        "prompt_tokens_estimate": 7,
        **changes,
    }
    return Admitted(**fields)  # type: ignore[arg-type]


def folded(*records: LogRecord, path: str = ":memory:", batch: int = 1000) -> Books:
    """Books folded from the records."""
    books = open_books(path)
    fold(books, ListLog(records), batch=batch)
    return books


SERIES = Series("acme@2024-01-01", "list@2024-01-01", "acme", "search", "chat", "m", "default")


def metered(event: UsageEvent, series: Series = SERIES) -> MeteredUsage:
    """An event counted in a series, whatever the event says, in its UTC hour."""
    return MeteredUsage(series, hour_of(event.admitted_at), event)


def insert(books: Books, *events: UsageEvent) -> tuple[list[UsageEvent], list[UsageEvent]]:
    """(the new ones, the conflicts) of events inserted in one transaction."""
    with books.transaction():
        new, conflicts = books.insert_events([metered(event) for event in events])
    return [item.event for item in new], conflicts


def invoice(
    number: str, contract: str = SERIES.contract, period: str = "2024-03", meter: str = "input_tokens"
) -> Invoice:
    """An invoice of one line as it might be issued."""
    line = InvoiceLine(1, "usage", period, "m", meter, "default", "10", "0.1", "1", "1.00")
    return Invoice(
        number,
        number[:7],
        "acme",
        "Acmé",
        contract,
        "USD",
        "2024-04-01T00:00:00Z",
        (line,),
        "1.00",
        "0.00",
        "1.00",
        "0",
    )
