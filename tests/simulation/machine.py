"""A machine in one process: its disk, its log, its gateways and what outlives them; each may fail or end at any time.

The log, its recovery, the list of instances and the writer of usage are the product's own, on a disk in memory. What is
played here is what lies between processes: a socket that breaks, memory that outlives a killed gateway, a power cut.
"""

from collections.abc import Sequence
from random import Random

from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.memory.disk import Act, Fault, MemoryDisk, no_fault
from entrepot.core.errors import UsageLogUnavailable
from entrepot.core.log_records import InstanceLost, LogRecord, encode_record
from entrepot.core.segments import frame, whole_frames
from entrepot.metering.usage_writer import UsageWriter
from entrepot.ports.event_log import Settling
from tests.support.memory_log import ManualClock

ROOM_BYTES = 1_000
PLENTY_BYTES = 2**40


class Crash(Exception):
    """A process has ended where it stood."""


class Machine:
    """Disk and log. The process that writes the log is there while `log` is not None.

    kept_is_safe: an answer ends as soon as its usage is in memory that outlives its gateway.
    """

    def __init__(self, chance: Random, clock: ManualClock, *, kept_is_safe: bool = False) -> None:
        self.chance = chance
        self.clock = clock
        self.kept_is_safe = kept_is_safe
        self.disk = MemoryDisk(Random(chance.random()))
        self.segment_bytes = chance.choice((500, 3_000, 20_000))
        self.log: DiskEventLog | None = None
        self.gateways: dict[str, Gateway] = {}
        self.kept: dict[str, bytearray] = {}
        self.unsure: set[str] = set()  # Requests that a power cut may have taken with it.
        self.acknowledged = 0  # Records.
        self._lost: set[str] = set()
        self._left: dict[str, set[str]] = {}  # Requests that those which are gone had something left of.
        self._begun = 0
        self._fault_rate = 0.0

    def start_log(self) -> None:
        """Begins the log process, unless the disk does not let it; it takes in what gateways left behind."""
        if self.log is None:
            try:
                self.log = DiskEventLog(self.disk, segment_bytes=self.segment_bytes, room_bytes_min=ROOM_BYTES)
            except UsageLogUnavailable:
                return
            self._lost = set(InstanceFile(self.disk).load()) | set(self.kept)

    def start_gateway(self) -> None:
        """Begins a gateway, unless the log process cannot put its name on the list."""
        if self.log is not None:
            self._begun += 1
            name = f"gateway-{self._begun}"
            try:
                InstanceFile(self.disk).save({*self.gateways, *self._lost, name})
            except OSError:
                return
            self.kept[name] = bytearray()
            self.gateways[name] = Gateway(self, name)

    def commit(self, frames: Sequence[bytes], records: int) -> None:
        """Raises: UsageLogUnavailable."""
        if self.log is None:
            raise UsageLogUnavailable("no log process", retry_after_s=1)
        self.log.commit(frames, records)
        self.acknowledged += records

    def take_in(self) -> None:
        """Puts into the log what gateways that are gone had kept, and that they are lost."""
        for name in sorted(self._lost):
            left, records = whole_frames(bytes(self.kept.get(name, b"")))
            lost = frame(encode_record(InstanceLost(instance=name, at=self.clock.now())))
            try:
                self.commit([left, lost] if left else [lost], records + 1)
            except UsageLogUnavailable:
                return
            self._lost.discard(name)
            self.kept.pop(name, None)
            try:
                InstanceFile(self.disk).save({*self.gateways, *self._lost})
            except OSError:
                continue  # It is declared lost once more by the next process, which changes nothing.

    def kill_gateway(self, name: str) -> None:
        """Ends a gateway. What it had not handed on outlives it."""
        self._left[name] = self.gateways.pop(name).wire.unacknowledged
        self._lost.add(name)

    def kill_log(self) -> None:
        """Ends the log process; gateways end with it, as they do when their connection breaks."""
        self.log = None
        self.disk.crash()
        for name in list(self.gateways):
            self.kill_gateway(name)

    def cut_power(self) -> None:
        """Ends everything, and what was not synced may be gone, kept memory too."""
        self.kill_log()
        self.disk.cut_power()
        for name, kept in self.kept.items():
            self.unsure |= self._left[name]
            del kept[self.chance.randrange(len(kept) + 1) :]

    def spoil_disk(self, rate: float) -> None:
        """From now on this share of what is done to the disk goes wrong."""
        self._fault_rate = rate
        self.disk.fault = self._fault if rate else no_fault

    def fill_disk(self) -> None:
        """Leaves room for very little; or makes room, when there was little."""
        is_full = self.disk.capacity_bytes < PLENTY_BYTES
        used = PLENTY_BYTES - self.disk.bytes_free() if not is_full else 0
        self.disk.capacity_bytes = PLENTY_BYTES if is_full else used + self.chance.randrange(2_000)

    def heal(self) -> None:
        """All is well from now on."""
        self.spoil_disk(0)
        self.disk.capacity_bytes = PLENTY_BYTES

    def _fault(self, act: Act, _name: str) -> Fault:
        if self.chance.random() >= self._fault_rate:
            return None
        return "short" if act == "write" and self.chance.random() < 0.5 else "broken"


class Gateway:
    """A gateway process: the product's writer, and a connection."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.name = name
        self.wire = Wire(machine, name)
        self.writer = UsageWriter(self.wire, machine.clock)


class Wire:
    """A gateway's connection to the log process. Meets the port UsageSink; `flush` is a turn of the event loop."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine = machine
        self._name = name
        self._frames: list[bytes] = []
        self._waiting: list[Settling] = []
        self._ready = True
        self.owed = 0
        self.answers = True
        self.unacknowledged: set[str] = set()

    @property
    def available(self) -> bool:
        return self._ready

    def append(self, record: LogRecord) -> None:
        framed = frame(encode_record(record))
        self._frames.append(framed)
        self._machine.kept[self._name] += framed
        self.unacknowledged.add(_request_of(record))

    def settle(self, record: LogRecord, waiter: Settling) -> None:
        self.append(record)
        if self._machine.kept_is_safe and self._ready:
            waiter.settled()
        else:
            self._waiting.append(waiter)

    def flush(self, *, answer_is_lost: bool = False) -> None:
        """Sends what there is, and hears what came of it. Raises: Crash, when the connection broke instead."""
        if not self._frames:
            return
        waiting, self._waiting = self._waiting, []
        try:
            self._machine.commit(self._frames, len(self._frames))
        except UsageLogUnavailable:
            self._ready = self.owed == 0 and not waiting and not self._machine.kept_is_safe
            self.owed += len(waiting)
            for waiter in waiting:
                waiter.not_settled()
            return
        if answer_is_lost:
            raise Crash
        self._ready, self.owed = True, 0
        self._frames.clear()
        self._machine.kept[self._name].clear()
        self.unacknowledged.clear()
        for waiter in waiting:
            waiter.settled()


def _request_of(record: LogRecord) -> str:
    return str(getattr(record, "id", "") or record.event.id)  # type: ignore[union-attr]
