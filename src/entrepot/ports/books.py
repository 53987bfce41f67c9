"""The books: everything folded from the log, in one store with one transaction per batch.

Three views of one store, so that a room asks for no more than it needs. Only `Books.transaction` commits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

import msgspec

from entrepot.core.charges import Pool, Reading, Series
from entrepot.core.journal import JournalEntry
from entrepot.core.log_records import Abandoned, Admitted, Attempted, AttemptEnded, ServedAt, UsageUntold
from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.tenancy import ApiKey
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from entrepot.ports.budgets import BudgetStore
from entrepot.ports.count_store import CountStore
from entrepot.ports.event_log import Position
from entrepot.ports.paper_stores import InvoiceStore, StatementStore
from entrepot.ports.usage_windows import UsageWindows

QuarantineKind = Literal["invalid", "unpriced", "conflict"]


class Quarantined(msgspec.Struct, frozen=True):
    """A usage record that cannot be booked, kept whole with the reason. kind conflict: same id, other content."""

    event: UsageEvent
    kind: QuarantineKind
    reason: str


class MadeAttempt(msgspec.Struct, frozen=True):
    """One of several attempts of a request, number from 1. ended: None while it is under way, and if it answered."""

    id: str
    number: int
    began_at: Instant
    upstream: str
    ended: AttemptEnded | None = None


class OpenRequest(msgspec.Struct, frozen=True):
    """An admitted request without usage yet. given_up: how it ended, once the gateway gave it up or was lost.

    under_way: its attempts that have not ended, by number; none when every one came to nothing. untold: in place of
    given_up, that it was answered, and its upstream is to be asked for its usage.
    """

    admitted: Admitted
    output_tokens: int = 0
    given_up: Abandoned | None = None
    under_way: tuple[MadeAttempt, ...] = ()
    untold: UsageUntold | None = None

    @property
    def upstream(self) -> str:
        """Where it was last; "" when every attempt came to nothing."""
        return self.under_way[-1].upstream if self.under_way else ""


class MeteredUsage(msgspec.Struct, frozen=True, gc=False):
    """A usage event with the series and the hour (core.charges.Reading) that it is counted in."""

    series: Series
    hour: Instant
    event: UsageEvent


class Pooled(msgspec.Struct, frozen=True):
    """How much of a pool is posted, and how much of that is invoiced."""

    posted: int = 0
    invoiced: int = 0


class Spending(msgspec.Struct, frozen=True):
    """What was charged in a commitment's term and is invoiced, before its discount; what was settled of its rest."""

    charged_pico: int = 0
    settled_pico: int = 0


class UsageCounts(msgspec.Struct, frozen=True):
    """How much usage there is. repeats: events that came again with the same content. quarantined: by kind."""

    booked: int
    repeats: int
    quarantined: dict[QuarantineKind, int]


class Closing(msgspec.Struct, frozen=True):
    """What came of one request to close a period. refused: why it stayed open, "" when it was closed."""

    period: str
    at: Instant
    refused: str = ""


class EventStore(BudgetStore, Protocol):
    """Usage events, unique by id for ever, and their readings."""

    def insert_events(self, events: Sequence[MeteredUsage]) -> tuple[list[MeteredUsage], list[UsageEvent]]:
        """(the new ones, the ones whose id is known with other content); known ones of the same content are dropped."""
        ...

    def add_readings(self, readings: Mapping[tuple[Series, str, Instant], int]) -> None:
        """Adds quantities to readings, making those that are new."""
        ...

    def quarantine(self, items: Sequence[Quarantined]) -> None:
        """Keeps records that cannot be booked; the same record again changes nothing."""
        ...

    def release_quarantine(
        self, kind: QuarantineKind, after: tuple[str, bytes] = ("", b""), limit: int = 10_000
    ) -> list[UsageEvent]:
        """Takes out and returns up to limit quarantined events of a kind behind (id, payload digest), in that order."""
        ...

    def quarantined(self, limit: int = -1) -> list[Quarantined]:
        """All of quarantine by id, or its first records; there may be as many as there is usage."""
        ...

    def open_request(self, admitted: Admitted) -> None:
        """Remembers an admitted request unless its usage is known already."""
        ...

    def note_progress(self, streams: Iterable[tuple[str, int]]) -> None:
        """Raises the counts of open requests: (id, output tokens); unknown ids are ignored."""
        ...

    def give_up(self, ended: Abandoned | UsageUntold) -> None:
        """Marks an open request as given up; the first word stands; unknown ids are ignored.

        One that was answered is marked as that in any case, unless its usage is known. What it holds of budgets is from
        now on what its gateway counted for it.
        """
        ...

    def lose_instance(self, instance: str, at: Instant) -> None:
        """Gives up, with outcome gateway_lost, every open request of the instance that is not given up yet.

        What it had counted is forgotten.
        """
        ...

    def close_requests(self, event_ids: Sequence[str]) -> None:
        """Forgets open requests whose usage is recorded."""
        ...

    def open_requests(self, given_up: bool, limit: int = -1) -> list[OpenRequest]:
        """Open requests that were given up or answered, or those that were not, by id: all of them or the first."""
        ...

    def begin_attempt(self, attempted: Attempted) -> None:
        """Remembers that a request went to a further upstream."""
        ...

    def end_attempt(self, ended: AttemptEnded) -> None:
        """Keeps what came of an attempt; the first word stands, until one says what the upstream reported."""
        ...

    def untold_attempts(self, upstream: str, limit: int) -> list[AttemptEnded]:
        """The first by id of ended attempts at an upstream of which nobody knows what they used.

        A refusal tells that. Left out are attempts whose upstream was asked again for the same request: what it says
        afterwards is of the last one.
        """
        ...

    def note_served(self, served: ServedAt) -> None:
        """Keeps at which tier an upstream says it served a request; the first word stands."""
        ...

    def attempts(self, event_ids: Sequence[str]) -> list[MadeAttempt]:
        """The attempts of these requests beside those of only one that answered, by id and number."""
        ...

    def oldest_open(self) -> Instant | None:
        """When the oldest open request was admitted, or None."""
        ...

    def latest_admission(self, customer: str | None = None, book: str | None = None) -> Instant | None:
        """The latest admission among metered events of a customer or of a price book, or None."""
        ...

    def repeats(self) -> int:
        """How many usage events came again with the same content."""
        ...

    def usage_counts(self) -> UsageCounts:
        """How much is booked, was repeated, waits in quarantine."""
        ...

    def unposted_readings(self, before: Instant, enough: int) -> list[Reading]:
        """Readings of hours before the instant, less what is posted: all of the first contracts that have enough.

        Ordered by (contract, hour, series, meter).
        """
        ...

    def mark_posted(self, readings: Sequence[Reading]) -> None:
        """Adds to what is posted."""
        ...

    def pooled(self, pool: Pool) -> Pooled:
        """How much there is of a pool; nothing of one that was never saved."""
        ...

    def save_posted_pools(self, quantities: Mapping[Pool, int]) -> None:
        """Replaces how much of pools is posted."""
        ...

    def save_invoiced_pools(self, quantities: Mapping[Pool, int]) -> None:
        """Replaces how much of pools is invoiced."""
        ...

    def spending(self, contract: str, begins: Instant) -> Spending:
        """What is spent of a contract's commitment that begins then; nothing of one that was never saved."""
        ...

    def save_spending(self, contract: str, begins: Instant, spending: Spending) -> None:
        """Replaces what is spent of a commitment."""
        ...

    def expired_credit(self, contract: str, credit: str) -> int:
        """How much of a contract's credit was posted as expired, in pico."""
        ...

    def save_expired_credit(self, contract: str, credit: str, pico: int) -> None:
        """Replaces how much of a credit was posted as expired."""
        ...

    def uninvoiced_readings(self, contract: str, before: Instant) -> list[Reading]:
        """Posted readings of a contract for hours that start before the instant, less what is invoiced, ordered."""
        ...

    def uninvoiced_since(self) -> dict[str, Instant]:
        """{contract: the hour of its oldest reading that is not invoiced, posted or not}."""
        ...

    def mark_invoiced(self, taken: Sequence[Sequence[Reading]], invoice: str) -> None:
        """Adds to what is invoiced and remembers which line of an issued invoice took what: the first, the second, …"""
        ...

    def requests_of_line(self, invoice: str, line: int) -> Iterator[UsageEvent]:
        """The usage events behind a line of an invoice, by hour and then in the order of folding.

        The first come at once. Exact also for late usage: an event belongs to the first invoice that was issued after
        it was folded. Raises: NotFound.
        """
        ...

    def readings_of_line(self, invoice: str, line: int) -> list[Reading]:
        """What a line of an issued invoice took of which readings, by hour."""
        ...

    def events(self, since: Instant, until: Instant, customer: str | None = None) -> Iterator[UsageEvent]:
        """Usage events admitted in [since, until), by id; all of them or a customer's."""
        ...

    def newest_events(
        self, limit: int, since: Instant = 0, until: Instant = END_OF_TIME, customer: str | None = None
    ) -> list[UsageEvent]:
        """The usage events of `events` that were folded last, the newest first."""
        ...

    def readings(self, since: Instant, until: Instant) -> Iterator[Reading]:
        """Readings of hours that start in [since, until), posted or not, by (contract, hour, series, meter)."""
        ...


class LedgerStore(Protocol):
    """The journal: append-only, balanced, chained."""

    def append_entries(self, entries: Sequence[JournalEntry]) -> None:
        """Appends entries in order and extends the chain. Raises: AssertionError for a key that exists (a bug)."""
        ...

    def has_entry(self, key: str, hour: Instant | None = None) -> bool:
        """Whether an entry of this key exists. hour: of a usage entry, which is looked for among its hour's alone."""
        ...

    def root(self) -> tuple[int, str]:
        """(number of entries, hash of the last); the genesis hash when empty."""
        ...

    def entries(self) -> Iterator[tuple[JournalEntry, str]]:
        """All entries with their stored hashes, in order."""
        ...

    def balances(self) -> dict[tuple[str, str], int]:
        """{(account, currency): pico}, without the zeros."""
        ...


class ControlStore(Protocol):
    """Declared records: world versions and keys."""

    def save_world(self, at: Instant, world: World) -> int:
        """The new version's number; the same world again returns the current number and stores nothing."""
        ...

    def world(self) -> tuple[int, World] | None:
        """The current version, or None before the first."""
        ...

    def world_at(self, at: Instant) -> World | None:
        """The version that was in force at the instant, the first one before it was applied; None without any."""
        ...

    def worlds(self) -> Iterator[tuple[Instant, World]]:
        """All versions, each with when it was applied, from the first."""
        ...

    def record_closing(self, closing: Closing) -> None:
        """Keeps what came of a close; the same period and instant again replaces it."""
        ...

    def closings(self, period: str | None = None) -> list[Closing]:
        """What came of closes, by period and instant."""
        ...

    def save_key(self, key: ApiKey) -> None:
        """Inserts or replaces a key by id."""
        ...

    def key(self, key_id: str) -> ApiKey | None:
        """The key of this id, or None."""
        ...

    def keys(self) -> list[ApiKey]:
        """All keys by id."""
        ...

    def position(self) -> Position:
        """The log position behind the last folded record."""
        ...

    def save_position(self, position: Position) -> None:
        """Moves the position; in the same transaction as what the records did."""
        ...

    def recovery_point(self) -> str | None:
        """How far the record behind the position is folded, where it is folded in pieces and has been begun."""
        ...

    def save_recovery_point(self, point: str | None) -> None:
        """Replaces the recovery point; None when the record is folded."""
        ...

    def watermark(self) -> Instant:
        """The instant before which usage is complete and accrued; 0 at first."""
        ...

    def save_watermark(self, at: Instant) -> None:
        """Moves the watermark; never backwards (the store keeps the greater)."""
        ...

    def units_through(self) -> Instant:
        """The instant until which provisioned units are counted; 0 at first."""
        ...

    def save_units_through(self, at: Instant) -> None:
        """Moves that instant; never backwards."""
        ...


class Books(EventStore, UsageWindows, LedgerStore, InvoiceStore, StatementStore, CountStore, ControlStore, Protocol):
    """The whole store."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commits at the block's end, or leaves no trace when it raises. One writer at a time, across processes."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read within the block is of one moment, while others write."""
        ...

    def digest(self) -> dict[str, str]:
        """{table: sha256 of its rows in key order}: equal books have equal digests, whatever the file layout."""
        ...

    def tables(self) -> list[str]:
        """The tables of `digest`, by name."""
        ...

    def rows(self, table: str) -> Iterator[tuple[object, ...]]:
        """The rows of a table of `digest`, in key order."""
        ...

    def close(self) -> None:
        """Lets go of the store."""
        ...
