"""The worker process: folds the log into the books, resolves what gateways gave up, marks how far usage is complete."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.notices import NoticeFile, NoticeMessenger
from entrepot.adapters.standings_file import FileStandings
from entrepot.adapters.upstream_usage_http import HttpUpstreamUsage
from entrepot.compose.books import open_books, open_log_of_process
from entrepot.compose.complaints import Fault, complain
from entrepot.compose.day_keeper import keep_reconciling
from entrepot.compose.local_models import base_urls
from entrepot.compose.processes import say_ready
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.upstream_keys import upstream_keys
from entrepot.compose.usage_log import open_log_reader
from entrepot.core.budgets import Standings
from entrepot.core.errors import EntrepotError, UsageLogUnavailable
from entrepot.core.log_records import Marked
from entrepot.core.periods import DAY, HOUR, MINUTE, SECOND, Instant, hour_of
from entrepot.flows.resolve_usage import resolve_usage
from entrepot.flows.tell_budgets import tell_budgets
from entrepot.flows.weigh_budgets import Scales
from entrepot.ports.books import Books
from entrepot.ports.clock import Clock
from entrepot.ports.event_log import EventLog, LogReader
from entrepot.ports.standings import PublishedStandings
from entrepot.ports.upstream_usage import UpstreamUsage
from entrepot.workers import Fold

# A request's record is in the log within a flush or two of its admission, or its gateway is dead; a minute is ample.
MARK_LAG_US = MINUTE
ASK_EVERY_US = SECOND
LEAP_US = DAY  # A mark that is further from the last one
BELIEVED_AFTER_US = HOUR  # waits for so long.
_IDLE_S = 0.2
_TELL_S = 1.0


def main(_: Sequence[str] = ()) -> int:
    """The exit status: 0 when told to stop, 1 with a line on stderr otherwise."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        _work(load_settings(os.environ), os.environ, stop)
    except EntrepotError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


def _work(settings: Settings, environment: Mapping[str, str], stop: threading.Event) -> None:
    lookup = HttpUpstreamUsage(partial(base_urls, settings), upstream_keys(environment))
    with open_books(settings) as books, open_log_of_process(settings) as log:
        say_ready()
        standings = FileStandings(settings.standings_file)
        threading.Thread(target=_keep_telling, args=(settings, stop), name="notices", daemon=True).start()
        threading.Thread(target=keep_reconciling, args=(settings, stop, complain), daemon=True).start()
        reader = open_log_reader(settings.home)
        keep_folding(books, reader, log, lookup, SystemClock(), stop.wait, standings, complain)


def _keep_telling(settings: Settings, stop: threading.Event) -> None:
    """Tells of budgets what was published, beside the fold: a receiver may be slow."""
    standings, kept = FileStandings(settings.standings_file, -1), NoticeFile(settings.notices_file)
    messenger = NoticeMessenger(settings.webhook_secret, settings.smtp_url, settings.mail_from)
    fault = Fault(complain, "budget_notices_not_kept")
    due: deque[Standings] = deque()
    while not stop.wait(_TELL_S):
        due += standings.load_new()
        with fault.told():  # What is not kept is not sent; a disk may have room again.
            while due:
                tell_budgets(due[0], kept, messenger, SystemClock().now(), complain)
                due.popleft()
            tell_budgets(None, kept, messenger, SystemClock().now(), complain)
            fault.over()


def keep_folding(
    books: Books,
    reader: LogReader,
    log: EventLog,
    lookup: UpstreamUsage,
    clock: Clock,
    pause: Callable[[float], bool],
    standings: PublishedStandings,
    complain: Callable[[str], None],
) -> None:
    """Folds, resolves, marks and weighs budgets until pause(seconds) says True: the worker process, all its life.

    Raises: LogDamaged, BooksUnavailable; the process ends with them and begins again where the books stand.
    """
    fault = Fault(complain, "budgets_not_published")
    through: Instant = 0
    worker = Fold(books)
    chores = _Chores(books, log, lookup, clock)
    scales = Scales(books, standings, clock)
    while True:
        began = clock.now()
        try:
            folded = worker.step(reader)
            busy = folded
            if worker.at_end:  # Where requests never cease, there is always more by the next step.
                through = began
                busy += chores.do()
        except UsageLogUnavailable:
            busy = 0  # Chores are only for who knows all of the log.
        with fault.told():  # Gateways go by what was said before; a disk may have room again.
            if scales.weigh(worker.terms, through):
                fault.over()
        if pause(0.0 if busy else _IDLE_S):
            return


class _Chores:
    """What the worker appends to the log when it has folded all of it: what upstreams say, and marks."""

    def __init__(self, books: Books, log: EventLog, lookup: UpstreamUsage, clock: Clock) -> None:
        self._books, self._log, self._lookup, self._clock = books, log, lookup, clock
        self._asked_at: Instant = 0
        self._answered_after: Instant = 0
        self._marked: Instant = 0
        self._leapt_at: Instant | None = None
        self._looked_at: Instant = 0

    def do(self) -> int:
        """How many records were appended that the fold waits for."""
        now = self._clock.now()
        try:
            settled = self._resolve(now)
            if not settled:  # Else the mark can pass what was open until now, once it is folded.
                self._mark(now - MARK_LAG_US)
            return settled
        except UsageLogUnavailable:
            return 0  # The log process is down or its disk full; it says so itself, and we try again.

    def _mark(self, at: Instant) -> None:
        """Marks at the start, and when an hour is over; within an hour a mark would complete nothing."""
        if hour_of(at) != hour_of(self._marked) and self._is_believed(at):
            self._log.append([Marked(at=at)])
            self._marked = at

    def _is_believed(self, at: Instant) -> bool:
        """A clock may leap far ahead by mistake, and a mark is for ever: it waits whether the clock stays there."""
        marked, since = self._books.watermark(), at - self._looked_at
        self._looked_at = at
        if not marked or at - marked <= LEAP_US:
            self._leapt_at = None
            return True
        if self._leapt_at is None or not 0 <= since < BELIEVED_AFTER_US:  # It has been set again.
            self._leapt_at = at
        return at - self._leapt_at >= BELIEVED_AFTER_US

    def _resolve(self, now: Instant) -> int:
        """Asking takes a tenth of the worker's time at most, however slowly upstreams answer."""
        if abs(now - self._asked_at) < max(ASK_EVERY_US, 10 * self._answered_after):
            return 0
        settled = resolve_usage(self._books, self._log, self._lookup, now)
        self._asked_at = self._clock.now()
        self._answered_after = abs(self._asked_at - now)
        return settled


if __name__ == "__main__":
    sys.exit(main())
