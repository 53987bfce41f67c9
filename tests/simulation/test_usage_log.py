"""The usage log on a failing disk, one seed at a time.

Given a disk that writes short, breaks off, fails to sync, runs full and loses power, when a writer appends through all
of it while a reader follows: what was acknowledged is read, once and in order; what was refused is not; and no reader
has ever read what the log later does not hold.
"""

from contextlib import suppress
from random import Random

import pytest

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.memory.disk import Act, Fault, MemoryDisk, no_fault
from entrepot.core.errors import UsageLogUnavailable
from entrepot.ports.event_log import START, Position
from tests.support.log_records import number_of, numbered

SEEDS = 400
STEPS = 60
ROOM_BYTES = 2_000


class Life:
    """One run: a disk, the writers that follow one another on it, and a reader that keeps its place."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.disk = MemoryDisk(Random(seed + 1))
        self.fault_rate = self.chance.choice((0.0, 0.01, 0.05, 0.2))
        self.segment_bytes = self.chance.choice((200, 1_000, 20_000))
        self.disk.fault = self.fault
        self.log: DiskEventLog | None = None
        self.next = 0
        self.acknowledged: list[int] = []
        self.refused: set[int] = set()
        self.unsure: set[int] = (
            set()
        )  # Refused, and nothing has been acknowledged since: a crash now may bring them back.
        self.seen: list[int] = []
        self.place: Position = START

    def fault(self, act: Act, _name: str) -> Fault:
        if self.chance.random() < self.fault_rate:
            return "short" if act == "write" and self.chance.random() < 0.5 else "broken"
        return None

    def step(self) -> None:
        act = self.chance.choices(("append", "read", "crash", "power", "close", "full"), (60, 20, 3, 5, 3, 3))[0]
        if act == "append":
            self.append()
        elif act == "read":
            self.read()
        elif act == "full":
            full = self.disk.capacity_bytes < 2**40
            self.disk.capacity_bytes = 2**40 if full else 2**40 - self.disk.bytes_free() + self.chance.randrange(3_000)
        else:
            self.end(act)

    def append(self) -> None:
        records = [numbered(self.next + place) for place in range(self.chance.choice((1, 2, 50, 300)))]
        numbers = [number_of(record) for record in records]
        self.next += len(records)
        try:
            self.opened().append(records)
        except UsageLogUnavailable:
            self.refused.update(numbers)
            self.unsure.update(numbers)
            return
        self.acknowledged.extend(numbers)
        self.unsure.clear()

    def opened(self) -> DiskEventLog:
        if self.log is None:
            self.log = DiskEventLog(self.disk, segment_bytes=self.segment_bytes, room_bytes_min=ROOM_BYTES)
        return self.log

    def end(self, how: str) -> None:
        if self.log is not None and how == "close":
            self.log.close()
        elif how == "power":
            self.disk.cut_power()
        else:
            self.disk.crash()
        self.log = None
        self.refused -= self.unsure  # Whether they count is open, as for any writer that was cut off.
        self.unsure.clear()

    def read(self) -> None:
        with suppress(UsageLogUnavailable):
            for place, record in DiskLogReader(self.disk).read(self.place, self.chance.randrange(1, 500)):
                self.place = place
                self.seen.append(number_of(record))


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_acknowledged_is_kept_and_refused_is_not(first: int) -> None:
    for seed in range(first, first + 50):
        run(seed)


def run(seed: int) -> None:
    life = Life(seed)
    for _ in range(STEPS):
        life.step()
    life.end(life.chance.choice(("crash", "power", "close")))
    life.disk.fault = no_fault
    life.disk.capacity_bytes = 2**40
    life.opened().append([numbered(life.next)])
    life.acknowledged.append(life.next)
    reader = DiskLogReader(life.disk)
    held = [number_of(record) for _, record in reader.read(START, 10**9)]
    assert held == sorted(set(held)), f"seed {seed}: records are repeated or out of order"
    assert set(life.acknowledged) <= set(held), f"seed {seed}: acknowledged records are lost"
    assert not life.refused & set(held), f"seed {seed}: refused records count"
    assert held[: len(life.seen)] == life.seen, f"seed {seed}: a reader read what the log does not hold"
    life.read()
    assert reader.check().records == len(held), f"seed {seed}: the check counts other records than a reader reads"
