"""The fold: records in log order, each handed to one flow, one transaction per batch.

The books are a function of the log alone. A batch is folded in stretches that end at a record which looks at all that
came before it (a world, a mark, a close). Within a stretch the usage goes first and the rest of the requests' lives
after it, which comes to the same as one by one: usage that is known keeps its request from ever opening. So the result
does not depend on how the log is cut, and a request that begins and ends within a stretch never waits on disk.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec

from entrepot.core.budgets import decode_budget
from entrepot.core.errors import BadInput, NotFound, PeriodNotClosable
from entrepot.core.log_records import (
    Abandoned,
    Admitted,
    Attempted,
    AttemptEnded,
    InstanceBegan,
    InstanceLost,
    InvoiceCredited,
    KeyIssued,
    KeyRevoked,
    LogRecord,
    Marked,
    MonthClosed,
    MonthSettled,
    PartnerReported,
    Progressed,
    Reconciled,
    ServedAt,
    UsageRecorded,
    UsageUntold,
    WorldApplied,
)
from entrepot.core.periods import Instant, parse_period
from entrepot.core.tenancy import ApiKey
from entrepot.core.world import (
    DeclaredNames,
    World,
    WorldIndex,
    decode_world,
    index_of,
    installed_after,
    with_history,
)
from entrepot.flows.accrue import accrue, count_units, pass_mark, recount_units
from entrepot.flows.close_month import check_closable, close_month, end_everywhere
from entrepot.flows.compare_books import check, compare
from entrepot.flows.credit_invoice import credit_invoice
from entrepot.flows.process_usage import count_budgeted, process_usage, recorder_of, retry_unpriced
from entrepot.flows.settle_accounts import check_settleable, settle_accounts
from entrepot.ports.books import Books, Closing
from entrepot.ports.event_log import LogReader, Position

BATCH = 20_000  # Records in one transaction: a flush and the index pages of a batch are paid once for all of them.
PIECE = 100_000  # Readings posted or invoiced in one transaction: seconds of work and some ten megabytes.

_Landmark = (
    WorldApplied
    | KeyIssued
    | KeyRevoked
    | Marked
    | MonthClosed
    | MonthSettled
    | InvoiceCredited
    | PartnerReported
    | InstanceBegan
    | Reconciled
)
_Life = Admitted | Attempted | AttemptEnded | Progressed | Abandoned | InstanceLost | ServedAt | UsageUntold
_Long = Marked | MonthClosed  # Landmarks whose work has no bound: they are folded in pieces, a transaction each.


class Fold:
    """The state machine between a log and its books. Holds nothing that it could not read from the books again.

    piece: how many readings a transaction posts or invoices. note: told in words how far a long record is. at_end:
    whether the last step folded all that the log had when it began.
    """

    def __init__(self, books: Books, *, piece: int = PIECE, note: Callable[[str], object] = lambda _: None) -> None:
        self._books = books
        self._piece = piece
        self._note = note
        self._position = Position()
        self.at_end = False
        self._load()

    @property
    def terms(self) -> WorldIndex | None:
        """The world with what earlier worlds declared."""
        return self._terms

    def step(self, reader: LogReader, limit: int = BATCH, until: Position | None = None) -> int:
        """How many records were folded, in one transaction; 0 at the end of the log, or of `until`.

        A mark or a close is folded alone, in as many transactions as it takes.
        Raises: LogDamaged, BooksUnavailable. After any exception nothing of its transaction is in the books.
        """
        self.at_end = False
        read = list(reader.read(self._position, limit))
        has_more = len(read) == limit
        if until is not None:
            read = [item for item in read if item[0] <= until]
        if not read:
            self.at_end = not has_more
            return 0
        longer = next((number for number, (_, record) in enumerate(read) if isinstance(record, _Long)), len(read))
        has_more = has_more or len(read) > max(longer, 1)
        read = read[: max(longer, 1)]
        while not self._commit(read):
            if self._books.position() != self._position:  # Somebody else folded meanwhile.
                self._load()
                return self.step(reader, limit, until)
        self._position = read[-1][0]
        self.at_end = not has_more
        return len(read)

    def _commit(self, read: Sequence[tuple[Position, LogRecord]]) -> bool:
        """One transaction; whether the records are folded with it."""
        try:
            with self._books.transaction():
                if self._books.position() != self._position:
                    return False
                first = read[0][1]
                if not isinstance(first, _Long):
                    self.apply(record for _, record in read)
                elif not self._advance(first):
                    return False
                self._books.save_position(read[-1][0])
                return True
        except BaseException:
            self._load()
            raise

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Folds records; within a transaction of the books."""
        usage: list[UsageRecorded] = []
        lives: list[_Life] = []
        for record in records:
            if isinstance(record, UsageRecorded):
                usage.append(record)
            elif isinstance(record, _Life):
                lives.append(record)
            else:
                self._stretch(usage, lives)
                usage, lives = [], []
                self._landmark(record)
        self._stretch(usage, lives)

    def _stretch(self, usage: Sequence[UsageRecorded], lives: Sequence[_Life]) -> None:
        if usage:
            count_budgeted(self._books, usage)
            process_usage(self._books, self._recorder, [record.event for record in usage])
        over = {record.event.id for record in usage} if lives else ()
        for record in lives:
            if isinstance(record, InstanceLost):
                self._books.lose_instance(record.instance, record.at)
            elif isinstance(record, Attempted):
                self._books.begin_attempt(record)
            elif isinstance(record, AttemptEnded):
                self._books.end_attempt(record)
            elif isinstance(record, ServedAt):
                self._books.note_served(record)
            elif isinstance(record, Progressed):
                self._books.note_progress(((record.id, record.output_tokens), *record.others))
            elif record.id in over:
                continue
            elif isinstance(record, Admitted):
                self._books.open_request(record)
            else:
                self._books.give_up(record)

    def _landmark(self, record: _Landmark) -> None:
        match record:
            case WorldApplied():
                self._enter_world(record)
            case KeyIssued():
                self._issue_key(record)
            case KeyRevoked():
                self._revoke_key(record)
            case Marked() | MonthClosed():
                while not self._advance(record):
                    pass
            case MonthSettled():
                self._settle(record)
            case PartnerReported() | Reconciled():
                self._books.book_compared(record)
            case InvoiceCredited():
                with suppress(BadInput, NotFound):  # Who recorded it looked before.
                    credit_invoice(self._books, self._terms, record)
            case InstanceBegan():
                self._books.begin_instance(record.instance, record.at)

    def _enter_world(self, record: WorldApplied) -> None:
        world = decode_world(record.world)
        self._books.save_world(record.at, world)
        self._names.add(world)
        before = self._terms
        installed = installed_after(before.installed if before else {}, record.at, world)
        united = with_history(world, before.world if before else None, record.at)
        after = WorldIndex(united, installed, WorldIndex(world, installed))
        self._declare(after)
        if before is not None:
            recount_units(self._books, before.declared, after.declared)
        retry_unpriced(self._books, self._recorder)

    def _issue_key(self, record: KeyIssued) -> None:
        """A repeat must not bring a revoked key back."""
        if self._books.key(record.key_id) is None:
            replaced = self._books.key(record.replaces) if record.replaces else None
            self._books.save_key(
                ApiKey(
                    id=record.key_id,
                    digest=record.digest,
                    project=record.project,
                    name=record.name,
                    created_at=record.at,
                    budget=decode_budget(record.budget) if record.budget else None,
                    continues="" if replaced is None else replaced.first,
                )
            )

    def _revoke_key(self, record: KeyRevoked) -> None:
        key = self._books.key(record.key_id)
        if key is not None:
            self._books.save_key(msgspec.structs.replace(key, revoked_at=min(key.revoked_at, record.at)))

    def _advance(self, record: _Long) -> bool:
        """Does a piece of a long record's work; whether that was the last. What is done is in the books.

        The recovery point says that a record is under way, and the last contract that a close is through with.
        """
        done = self._books.recovery_point()
        if isinstance(record, Marked):
            reached = pass_mark(self._books, self._terms, record.at, self._piece)
            point = "" if reached is not None else None
        else:
            point = self._close(record, done)
        if point != done:
            self._books.save_recovery_point(point)
        return point is None

    def _close(self, record: MonthClosed, done: str | None) -> str | None:
        """The recovery point behind the next piece of a close; None at its end."""
        refused = ""
        if done is None:
            try:
                check_closable(self._books, self._terms, record.at, record.period)
            except PeriodNotClosable as reason:
                refused = reason.message
        if not refused and self._terms is not None:
            period = parse_period(record.period)
            if done is None:
                count_units(self._books, self._terms.declared, end_everywhere(self._terms, period))
            reached = accrue(self._books, self._terms, end_everywhere(self._terms, period), self._piece)
            if reached is not None:
                self._note(f"closing {period}: usage of contracts up to {reached} is posted")
                return ""
            reached = close_month(self._books, self._terms, record.at, period, done or "", self._piece)
            if reached is not None:
                self._note(f"closing {period}: contracts up to {reached} are invoiced")
                return reached
        self._books.record_closing(Closing(period=record.period, at=record.at, refused=refused))
        return None

    def _settle(self, record: MonthSettled) -> None:
        """Settles, or leaves it: who recorded it looked before, and looks again for the statements."""
        with suppress(PeriodNotClosable):
            period = check_settleable(self._books, self._terms, record.period)
            assert self._terms is not None
            settle_accounts(self._books, self._terms, record.at, period)

    def _load(self) -> None:
        self._position = self._books.position()
        self._terms: WorldIndex | None = None
        self._recorder = recorder_of(None)
        self._names = DeclaredNames()
        terms = index_of(self._named_worlds())
        if terms is not None:
            self._declare(terms)

    def _named_worlds(self) -> Iterator[tuple[Instant, World]]:
        """All worlds one after the other; of each, what it declares is taken note of."""
        for at, world in self._books.worlds():
            self._names.add(world)
            yield at, world

    def _declare(self, terms: WorldIndex) -> None:
        """The world decides what new usage is counted as; terms it has dropped still hold for what was counted."""
        self._recorder = recorder_of(terms.declared, self._names)
        self._terms = terms


def fold(
    books: Books,
    reader: LogReader,
    *,
    until: Position | None = None,
    batch: int = BATCH,
    report: Callable[[int], object] | None = None,
    note: Callable[[str], object] = lambda _: None,
) -> int:
    """How many records were folded until the log's end, or until a position. report: told the sum after each batch.

    note: told in words how far a long record is.

    Raises: LogDamaged, BooksUnavailable.
    """
    worker = Fold(books, note=note)
    folded = 0
    while count := worker.step(reader, batch, until):
        folded += count
        if report is not None:
            report(folded)
    return folded


def verify(kept: Books, rebuilt: Books, reader: LogReader, report: Callable[[int], object] | None = None) -> list[str]:
    """What is wrong with books, in sentences, after folding the same part of the log again; nothing when all is well.

    rebuilt: empty ones, elsewhere. Raises: LogDamaged.
    """
    while True:
        with kept.snapshot():
            if kept.recovery_point() is None:
                fold(rebuilt, reader, until=kept.position(), report=report)
                return [*check(kept), *compare(kept, rebuilt)]
        fold(kept, reader)  # Somebody is in the middle of a close: it is ended first.
