"""A copy of a log: a first part of it, byte for byte, that grows; of no other log; whatever happens on the way."""

import os
import random
from pathlib import Path

import pytest

from entrepot.adapters.disk_event_log.copying import copy_log
from entrepot.adapters.disk_event_log.files import Durable, read_durable
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.memory.disk import Act, Fault, MemoryDisk, no_fault
from entrepot.core.errors import BadInput, LogDamaged, UsageLogUnavailable
from entrepot.core.segments import HEADER_BYTES, encode_durable, segment_name
from entrepot.ports.event_log import NO_PREFIX, START, LogPrefix
from tests.support.log_disk import read
from tests.support.log_records import number_of, numbered

SEGMENT_BYTES = 500


def new_disk() -> MemoryDisk:
    return MemoryDisk(random.Random(0))


@pytest.fixture
def disk() -> MemoryDisk:
    return new_disk()


@pytest.fixture
def copy() -> MemoryDisk:
    return new_disk()


def write(disk: MemoryDisk, first: int, last: int, *, segment_bytes: int = SEGMENT_BYTES) -> None:
    """Records of these numbers, a group each, by a writer that is killed then."""
    log = DiskEventLog(disk, segment_bytes=segment_bytes)
    for number in range(first, last):
        log.append([numbered(number)])
    disk.crash()


def end_of(disk: MemoryDisk) -> Durable:
    durable = read_durable(disk)
    assert durable is not None
    return durable


def copied(disk: MemoryDisk, copy: MemoryDisk, before: LogPrefix = NO_PREFIX) -> LogPrefix:
    return copy_log(disk, copy, before, end_of(disk))


def held_by(copy: MemoryDisk, prefix: LogPrefix) -> list[int]:
    """The numbers in the copy, as a home that is made of it has them: it goes on being a log."""
    disk = new_disk()
    for name in copy.names():
        if name.endswith(".seg"):
            file = disk.create(name)
            file.write_at(0, copy.read(name, 0, 10**6))
            file.sync()
    until = Durable(prefix.holds.segments, prefix.length)
    assert DiskLogReader(copy, until).check() == prefix.holds
    return [number_of(record) for _, record in DiskLogReader(copy, until).read(START, 10**6)]


def test_a_copy_has_every_byte_that_counts_and_no_other(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 20)
    prefix = copied(disk, copy)
    assert prefix.holds == DiskLogReader(disk).check()
    assert prefix.holds.segments > 2
    assert held_by(copy, prefix) == list(range(20))
    for number in range(1, prefix.holds.segments + 1):
        name = segment_name(number)
        content = copy.read(name, 0, 10**6)
        assert disk.read(name, 0, len(content)) == content
    assert copy.length(segment_name(prefix.holds.segments)) == prefix.length


def test_the_next_copy_writes_only_what_is_new(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 20)
    before = copied(disk, copy)
    written: list[tuple[Act, str]] = []
    copy.fault = lambda act, name: written.append((act, name)) if act in {"write", "create"} else None
    assert copied(disk, copy, before) == before
    assert written == []
    write(disk, 20, 23)  # A writer that starts begins a segment.
    last = before.holds.segments
    after = copied(disk, copy, before)
    assert {name for _, name in written} == {
        segment_name(number) for number in range(last + 1, after.holds.segments + 1)
    }
    assert held_by(copy, after) == list(range(23))


def test_a_segment_that_is_being_written_is_copied_as_far_as_it_is_durable(disk: MemoryDisk, copy: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    prefix = NO_PREFIX
    for number in range(10):
        log.append([numbered(number)])
        prefix = copied(disk, copy, prefix)
        assert held_by(copy, prefix) == list(range(number + 1))
    assert disk.length(segment_name(1)) > copy.length(segment_name(1))  # Zeros made ahead are no records.
    log.close()
    assert copied(disk, copy, prefix) == prefix  # The seal, too, counts only by its successor's header.


def test_what_is_written_meanwhile_is_left_for_the_next(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 5)
    until = end_of(disk)
    write(disk, 5, 10)
    prefix = copy_log(disk, copy, NO_PREFIX, until)
    assert held_by(copy, prefix) == list(range(5))
    assert held_by(copy, copied(disk, copy, prefix)) == list(range(10))


def test_records_longer_than_a_piece_are_whole(
    disk: MemoryDisk, copy: MemoryDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrepot.adapters.disk_event_log.copying._CHUNK_BYTES", 7)
    write(disk, 0, 9)
    prefix = copied(disk, copy)
    assert held_by(copy, prefix) == list(range(9))
    assert copied(disk, copy, prefix) == prefix


def test_of_an_empty_log_there_is_an_empty_copy(disk: MemoryDisk, copy: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    log.reopen()
    prefix = copied(disk, copy)
    assert (prefix.holds.records, prefix.length) == (0, HEADER_BYTES)
    log.append([numbered(0)])
    assert held_by(copy, copied(disk, copy, prefix)) == [0]


def refused(disk: MemoryDisk, copy: MemoryDisk, before: LogPrefix) -> str:
    """Why nothing is copied; and nothing is written."""
    contents = {name: copy.read(name, 0, 10**6) for name in copy.names()}
    with pytest.raises(BadInput) as told:
        copied(disk, copy, before)
    assert {name: copy.read(name, 0, 10**6) for name in copy.names()} == contents
    return told.value.message


def test_another_log_is_refused(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 10)
    other = new_disk()
    write(other, 100, 130)
    before = copied(disk, copy)
    assert "it is a copy of another log" in refused(other, copy, before)


def test_a_log_that_went_on_from_an_older_copy_is_refused(disk: MemoryDisk, copy: MemoryDisk) -> None:
    older = new_disk()
    write(disk, 0, 10, segment_bytes=10**6)
    early = copied(disk, older)
    older.open("durable").write_at(0, encode_durable(early.holds.segments, early.length))
    write(disk, 10, 20, segment_bytes=10**6)
    late = copied(disk, copy)
    assert "an older copy was restored in place of" in refused(
        older, copy, late
    )  # It has not gone on yet: it is shorter.
    write(older, 10, 60, segment_bytes=300)
    assert end_of(older) > end_of(disk)
    assert "an older copy was restored in place of" in refused(older, copy, late)


@pytest.mark.parametrize("segment_bytes", [10**6, SEGMENT_BYTES])
def test_a_log_whose_end_is_not_known_again_is_no_other_log(
    disk: MemoryDisk, copy: MemoryDisk, segment_bytes: int
) -> None:
    """How far a log is durable is not flushed, so that a power cut takes it back, while the log itself is there."""
    write(disk, 0, 5, segment_bytes=segment_bytes)
    old = end_of(disk)
    write(disk, 5, 20, segment_bytes=segment_bytes)
    before = copied(disk, copy)
    disk.open("durable").write_at(0, encode_durable(*old))
    with pytest.raises(UsageLogUnavailable, match=r"start `entrepot serve`.* and back up again"):
        copied(disk, copy, before)
    write(disk, 20, 21)  # A writer that starts finds the end.
    assert held_by(copy, copied(disk, copy, before)) == list(range(21))


def test_a_fork_within_the_last_segment_is_refused(disk: MemoryDisk, copy: MemoryDisk) -> None:
    fork = new_disk()
    log, other = DiskEventLog(disk), DiskEventLog(fork)
    for number in range(5):
        log.append([numbered(number)])
        other.append([numbered(number)])
    same = copied(disk, copy)
    assert copied(fork, copy, same) == same  # As yet they are one log.
    log.append([numbered(5)])
    other.append([numbered(6)])
    other.append([numbered(7)])
    assert "of another log" in refused(fork, copy, copied(disk, copy, same))


def test_a_restored_log_goes_on_in_the_backup_it_is_of(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 12)
    before = copied(disk, copy)
    home = new_disk()
    assert copy_log(copy, home, NO_PREFIX, Durable(before.holds.segments, before.length)) == before
    home.open("durable").write_at(0, encode_durable(before.holds.segments, before.length))
    write(home, 12, 20)
    assert read(home) == list(range(20))
    assert held_by(copy, copied(home, copy, before)) == list(range(20))


def test_damage_of_the_log_is_named_and_not_copied(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 20)
    before = copied(disk, copy)
    write(disk, 20, 40)
    last = before.holds.segments + 1
    disk.damage(segment_name(last), HEADER_BYTES + 30)
    with pytest.raises(LogDamaged, match=rf"{segment_name(last)}: the record at offset {HEADER_BYTES + 17} is damaged"):
        copied(disk, copy, before)
    assert held_by(copy, before) == list(range(20))


def test_a_header_that_vouches_for_something_else_is_damage(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 20)
    other = new_disk()
    write(other, 100, 120)
    file = disk.open(segment_name(2))
    file.truncate(0)
    file.write_at(0, other.read(segment_name(2), 0, 10**6))
    with pytest.raises(LogDamaged, match=r"00000001\.seg: its content does not match its seal"):
        copied(disk, copy)


@pytest.mark.parametrize("number", [1, 2])
def test_a_copy_that_lost_a_segment_is_not_gone_on_with(disk: MemoryDisk, copy: MemoryDisk, number: int) -> None:
    write(disk, 0, 20)
    before = copied(disk, copy)
    copy.remove(segment_name(number))
    assert refused(disk, copy, before) == f"the copy of {segment_name(number)} is missing"


def test_a_copy_that_lost_its_end_is_not_gone_on_with(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 20)
    before = copied(disk, copy)
    name = segment_name(before.holds.segments)
    copy.open(name).truncate(before.length - 1)
    assert refused(disk, copy, before) == f"the copy of {name} ends before offset {before.length}"


def test_how_far_a_copy_has_come_is_told_on_the_way(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 20)
    told: list[int] = []
    prefix = copy_log(disk, copy, NO_PREFIX, end_of(disk), told.append)
    assert told == sorted(told)
    assert len(told) >= prefix.holds.segments
    assert told[-1] == prefix.holds.size_bytes
    again: list[int] = []
    write(disk, 20, 21)
    longer = copy_log(disk, copy, prefix, end_of(disk), again.append)
    assert prefix.holds.size_bytes < again[0]
    assert again[-1] == longer.holds.size_bytes


def test_no_file_of_a_copy_stays_open(disk: MemoryDisk, tmp_path: Path) -> None:
    write(disk, 0, 20)
    copied_to = LocalDisk(tmp_path)
    prefix = copy_log(disk, copied_to, NO_PREFIX, end_of(disk))
    assert prefix.holds.segments > 2
    opened = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert [path for path in opened if path.startswith(f"{tmp_path}/")] == []


def test_a_log_without_a_segment_that_was_copied_is_damaged(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 20)
    before = copied(disk, copy)
    write(disk, 20, 40)
    disk.remove(segment_name(before.holds.segments))
    with pytest.raises(LogDamaged, match=rf"{segment_name(before.holds.segments)}: the file is missing"):
        copied(disk, copy, before)


def test_no_room_leaves_what_was_copied(disk: MemoryDisk, copy: MemoryDisk) -> None:
    write(disk, 0, 20)
    before = copied(disk, copy)
    write(disk, 20, 60)
    copy.capacity_bytes = sum(copy.length(name) for name in copy.names()) + 700
    with pytest.raises(OSError, match="No space left on device"):
        copied(disk, copy, before)
    assert held_by(copy, before) == list(range(20))
    copy.capacity_bytes = 2**40
    assert held_by(copy, copied(disk, copy, before)) == list(range(60))


class Killed(BaseException):
    """A process that ends between two acts."""


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_a_run_that_ends_anywhere_leaves_what_was_copied(disk: MemoryDisk, power: bool) -> None:
    write(disk, 0, 12)
    acts = 0
    for number in range(200):
        copy = MemoryDisk(random.Random(number))
        before = copied(disk, copy)
        more = new_disk()
        copy_log(disk, more, NO_PREFIX, end_of(disk))
        more.open("durable").write_at(0, encode_durable(*end_of(disk)))
        write(more, 12, 30)
        left = number

        def fault(_act: Act, _name: str) -> Fault:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return None

        copy.fault = fault
        try:
            copied(more, copy, before)
        except Killed:
            acts += 1
        else:
            break
        copy.fault = no_fault
        if power:
            copy.cut_power()
        assert held_by(copy, before) == list(range(12))
        assert held_by(copy, copied(more, copy, before)) == list(range(30))
    assert acts > 10


def test_what_counts_is_durable(disk: MemoryDisk) -> None:
    write(disk, 0, 20)
    for number in range(20):
        copy = MemoryDisk(random.Random(number))
        prefix = copied(disk, copy)
        copy.cut_power()
        assert held_by(copy, prefix) == list(range(20))
