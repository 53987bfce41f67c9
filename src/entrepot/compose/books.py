"""The books and the log of a data directory as commands get them, whether or not `entrepot serve` runs on it."""

import fcntl
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.log_client import SocketEventLog
from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.adapters.sql.books import open_books as open_sqlite_books
from entrepot.compose.home import make_home, open_lock
from entrepot.compose.local_models import addresses
from entrepot.compose.settings import Settings
from entrepot.compose.socket_paths import short_path
from entrepot.compose.usage_log import ClosableEventLog, open_event_log, open_log_reader
from entrepot.core.identifiers import KEY_PREFIX
from entrepot.core.log_records import LogRecord
from entrepot.flows.administer import Office, publish
from entrepot.ports.books import Books
from entrepot.provisioning.publish import local_models
from entrepot.workers import fold

_KEY_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_LETTERS = 40  # 238 bits.

Report = Callable[[int], object]
Note = Callable[[str], object]


@contextmanager
def open_books(settings: Settings) -> Iterator[Books]:
    """The books as they stand. Raises: BooksUnavailable, BadInput."""
    make_home(settings, settings.books_file)
    books = open_sqlite_books(str(settings.books_file))
    try:
        yield books
    finally:
        books.close()


@contextmanager
def open_scratch_books() -> Iterator[Books]:
    """Empty books that are gone afterwards; what outgrows memory goes to a temporary file, not to a data directory."""
    books = open_sqlite_books("")
    try:
        yield books
    finally:
        books.close()


@contextmanager
def open_current_books(settings: Settings, report: Report = lambda _: None) -> Iterator[Books]:
    """The books, folded to the end of the log. report: told how many records were folded so far.

    Raises: BooksUnavailable, LogDamaged.
    """
    with open_books(settings) as books:
        fold(books, open_log_reader(settings.home), report=report)
        yield books


@contextmanager
def open_log(settings: Settings) -> Iterator["LogWhenNeeded"]:
    """A log that is opened when something is appended: the log process's when one runs, else held directly.

    Raises on appending: UsageLogUnavailable, LogDamaged.
    """
    log = LogWhenNeeded(lambda: open_event_log(settings.home))
    try:
        yield log
    finally:
        log.close()


@contextmanager
def open_log_of_process(settings: Settings) -> Iterator["LogWhenNeeded"]:
    """The log process's log, never held directly: for processes that live beside one. Raises as open_log."""
    log = LogWhenNeeded(lambda: SocketEventLog(short_path(settings.log_socket)))
    try:
        yield log
    finally:
        log.close()


class LogWhenNeeded:
    """A log that is opened, by what open_event_log does, when the first records are appended."""

    def __init__(self, opened: Callable[[], ClosableEventLog]) -> None:
        self._opened = opened
        self._log: ClosableEventLog | None = None

    def append(self, records: Sequence[LogRecord]) -> None:
        """See ports.event_log."""
        if self._log is None:
            self._log = self._opened()
        self._log.append(records)

    def close(self) -> None:
        """Lets go of the log."""
        if self._log is not None:
            self._log.close()
            self._log = None


@contextmanager
def open_office(settings: Settings, report: Report = lambda _: None, note: Note = lambda _: None) -> Iterator[Office]:
    """What administering works with; a second one on the same data directory waits for the first to be done.

    report, note: told how far folding is, as by workers.fold.
    Raises: BooksUnavailable, BadInput.
    """
    with ExitStack() as held:
        lock = held.enter_context(open_lock(settings, "administer"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        books = held.enter_context(open_books(settings))
        reader = open_log_reader(settings.home)
        yield Office(
            books=books,
            log=held.enter_context(open_log(settings)),
            fold=lambda: fold(books, reader, report=report, note=note),
            clock=SystemClock(),
            snapshots=FileSnapshots(settings.snapshot_file),
            addresses=lambda: addresses(settings),
        )


def publish_snapshot(settings: Settings) -> None:
    """Publishes a snapshot of the current world, keys and local models, unless the published one is the same."""
    with open_office(settings) as office:
        office.fold()
        publish(office)


def local_models_declared(settings: Settings) -> dict[tuple[str, str], tuple[str, str]]:
    """{(upstream, model): (kind, the engine's name)} of what the current world runs inside this machine."""
    with open_current_books(settings) as books:
        declared = books.world()
        return local_models(declared[1]) if declared else {}


def mint_key() -> tuple[str, str]:
    """(a new API key, its id)."""
    letters = "".join(secrets.choice(_KEY_ALPHABET) for _ in range(_KEY_LETTERS))
    return KEY_PREFIX + letters, f"key_{secrets.token_hex(8)}"
