"""Usage counted from the log alone, beside the fold: the same rules, none of its stores."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from entrepot.core.installed import History
from entrepot.core.log_records import LogRecord, UsageRecorded, WorldApplied
from entrepot.core.periods import DAY, Instant
from entrepot.core.usage_event import UsageEvent, payload_digest
from entrepot.core.world import DeclaredNames, WorldIndex, decode_world, installed_after
from entrepot.metering.record import Recorder
from entrepot.ports.event_log import START, LogReader, Position

_READ_AT_ONCE = 10_000
_AHEAD = 7 * DAY  # Usage dated so far behind a day is a slip of a date or of a clock.
_AHEAD_MAX = 1000  # Of it as many are held; each is read by itself.


class LogDays:
    """Counts the usage of one day after another, and starts reading the log where the first usage of later days is.

    It remembers where worlds are in the log, since they decide what usage is counted as, and where usage is that is
    dated far ahead, so that such a record does not make every day until then be read from there on.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._through: Instant = 0
        self._begins = START
        self._worlds: list[Position] = []
        self._ahead: list[tuple[Position, Instant]] = []  # With when it was admitted.

    def count(
        self, since: Instant, until: Instant, end: Position, progress: Callable[[int], object] = lambda _: None
    ) -> dict[tuple[str, Instant, str], int]:
        """{(contract, hour, meter): units} admitted in [since, until), of the log up to its end. Raises: LogDamaged.

        progress: told how many records were read.
        """
        goes_on = since >= self._through
        position, worlds = (self._begins, list(self._worlds)) if goes_on else (START, [])
        ahead = [item for item in self._ahead if item[1] >= since] if goes_on else []
        counting = LogCount(since, until)
        for place in sorted([*worlds, *(place for place, _ in ahead)]):
            counting.add(record for _, record in self._reader.read(place, 1))
        later: Position | None = None
        done = 0
        while position < end:
            read = [item for item in self._reader.read(position, _READ_AT_ONCE) if item[0] <= end]
            if not read:
                break
            counting.add(record for _, record in read)
            for behind, record in read:
                if isinstance(record, WorldApplied):
                    worlds.append(position)
                elif later is None and isinstance(record, UsageRecorded) and (at := record.event.admitted_at) >= until:
                    if at < until + _AHEAD or len(ahead) >= _AHEAD_MAX:
                        later = position
                    else:
                        ahead.append((position, at))
                position = behind
            done += len(read)
            progress(done)
        self._through, self._begins = until, position if later is None else later
        self._worlds = [place for place in worlds if place < self._begins]
        self._ahead = [item for item in ahead if item[0] < self._begins]
        return counting.units


class LogCount:
    """Counts usage records of a span of time as the fold does: each id once, and unpriced usage once it has a price.

    units: {(contract, hour, meter): sum}. The ids of the span are kept in memory: about a hundred bytes an event.
    """

    def __init__(self, since: Instant, until: Instant) -> None:
        self._since, self._until = since, until
        self._recorder = Recorder(None)
        self._names = DeclaredNames()
        self._installed: History = {}
        self._seen: set[str] = set()
        self._waiting: dict[tuple[str, bytes], UsageEvent] = {}
        self.units: dict[tuple[str, Instant, str], int] = defaultdict(int)

    def add(self, records: Iterable[LogRecord]) -> None:
        """Takes records in, in the order of the log."""
        for record in records:
            if isinstance(record, UsageRecorded):
                if self._since <= record.event.admitted_at < self._until:
                    self._count(record.event)
            elif isinstance(record, WorldApplied):
                self._enter(record)

    def _enter(self, record: WorldApplied) -> None:
        world = decode_world(record.world)
        self._names.add(world)
        self._installed = installed_after(self._installed, record.at, world)
        self._recorder = Recorder(WorldIndex(world, self._installed), self._names)
        waiting, self._waiting = self._waiting, {}
        for key in sorted(waiting):
            self._count(waiting[key])

    def _count(self, event: UsageEvent) -> None:
        if event.id in self._seen:
            return
        metered, refused = self._recorder.record([event])
        for item in refused:
            if item.kind == "unpriced":
                self._waiting[event.id, payload_digest(event)] = event
        for usage in metered:
            self._seen.add(event.id)
            for meter, quantity in event.meters.items():
                if quantity:
                    self.units[usage.series.contract, usage.hour, meter] += quantity
