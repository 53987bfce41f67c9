"""Usage counted from the log alone, beside the fold: the same rules, none of its stores."""

from collections import defaultdict
from collections.abc import Iterable

from entrepot.core.installed import History
from entrepot.core.log_records import LogRecord, UsageRecorded, WorldApplied
from entrepot.core.periods import Instant
from entrepot.core.usage_event import UsageEvent, payload_digest
from entrepot.core.world import DeclaredNames, WorldIndex, decode_world, installed_after
from entrepot.metering.record import Recorder


class LogCount:
    """Counts usage records of a time as the fold does, each id once, what waits for a price when it has one.

    units: {(contract, hour, meter): sum}. It holds the ids of that time: about a hundred bytes an event.
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
