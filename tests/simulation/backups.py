"""A backup that is continued again and again through a life, and what must be in it."""

from collections.abc import Collection, Iterator
from random import Random

from entrepot.adapters.disk_event_log.copying import copy_log
from entrepot.adapters.disk_event_log.files import Durable, read_durable
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.memory.disk import MemoryDisk
from entrepot.core.log_records import LogRecord, UsageRecorded, UsageUntold
from entrepot.ports.event_log import NO_PREFIX, START
from tests.simulation.machine import Machine


class Backups:
    """A copy of the log on a disk of its own."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._disk = MemoryDisk(Random(0))
        self._prefix = NO_PREFIX
        self._taken: list[tuple[int, frozenset[str]]] = []

    def take(self, answered: Collection[str]) -> None:
        """Copies what is new. answered: requests whose clients have seen the end."""
        until = read_durable(self._machine.disk)
        if until is None:
            return
        self._prefix = copy_log(self._machine.disk, self._disk, self._prefix, until)
        self._taken.append((self._prefix.holds.records, frozenset(answered)))

    def faults(self) -> Iterator[str]:
        """What the copy has that the log does not have in the same place, and what it lacks."""
        until = Durable(self._prefix.holds.segments, self._prefix.length)
        copied, log = _read(DiskLogReader(self._disk, until)), _read(DiskLogReader(self._machine.disk))
        if copied != log[: len(copied)]:
            yield "the backup is no first part of the log"
        for count, answered in self._taken:
            used = {record.event.id for record in copied[:count] if isinstance(record, UsageRecorded | UsageUntold)}
            if missing := answered - used:
                yield f"answered before a backup and not in it: {', '.join(sorted(missing))}"


def _read(reader: DiskLogReader) -> list[LogRecord]:
    return [record for _, record in reader.read(START, 10**9)]
