"""A copy of a log, made at any moment and gone on with, is a first part of it; cut or altered at any byte, refused."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.adapters.disk_event_log.copying import copy_log
from entrepot.adapters.disk_event_log.files import Durable, read_durable
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.memory.disk import MemoryDisk
from entrepot.core.errors import LogDamaged, UsageLogUnavailable
from entrepot.core.segments import encode_durable, segment_name, segment_numbers
from entrepot.ports.event_log import NO_PREFIX, START, LogPrefix
from tests.support.log_disk import once, read
from tests.support.log_records import number_of, numbered

# What happens to a log: so many records in a group, a copy is made, its writer is killed, a flush fails, power is cut.
ACTS = st.lists(st.one_of(st.integers(1, 4), st.sampled_from(["copy", "kill", "fail", "cut"])), min_size=1, max_size=25)


def copied(disk: MemoryDisk, copy: MemoryDisk, before: LogPrefix) -> LogPrefix:
    until = read_durable(disk)
    assert until is not None
    return copy_log(disk, copy, before, until)


def numbers(copy: MemoryDisk, prefix: LogPrefix) -> list[int]:
    reader = DiskLogReader(copy, Durable(prefix.holds.segments, prefix.length))
    assert reader.check() == prefix.holds
    return [number_of(record) for _, record in reader.read(START, 10**6)]


@settings(max_examples=150)
@given(acts=ACTS, segment_bytes=st.integers(100, 600), seed=st.integers(0, 9))
def test_whenever_it_is_copied_it_has_what_was_acknowledged(
    acts: list[int | str], segment_bytes: int, seed: int
) -> None:
    disk, copy = MemoryDisk(random.Random(seed)), MemoryDisk(random.Random(1))
    log = DiskEventLog(disk, segment_bytes=segment_bytes)
    log.append([numbered(0)])
    written, prefix = 1, NO_PREFIX
    for act in [*acts, "copy"]:
        match act:
            case "copy":
                prefix = copied(disk, copy, prefix)
                assert numbers(copy, prefix) == list(range(written))
            case "kill":
                disk.crash()
                log = DiskEventLog(disk, segment_bytes=segment_bytes)
            case "cut":
                disk.cut_power()
                log = DiskEventLog(disk, segment_bytes=segment_bytes)
                written = len(read(disk))  # What was acknowledged, and it may be what was refused, too.
            case "fail":
                disk.fault = once("sync")
                try:
                    log.append([numbered(written)])
                    written += 1  # It was the seal of the last segment, which can be done without.
                except UsageLogUnavailable:
                    pass
            case count:
                log.append([numbered(written + place) for place in range(int(count))])
                written += int(count)
    whole = MemoryDisk(random.Random(2))
    assert numbers(whole, copied(disk, whole, NO_PREFIX)) == list(range(written))
    for name in copy.names():  # Grown in pieces or made at once, it is the same.
        assert copy.read(name, 0, 10**6) == whole.read(name, 0, 10**6)


@settings(max_examples=40)
@given(groups=st.lists(st.integers(1, 3), min_size=1, max_size=4), more=st.binary(max_size=80))
def test_the_log_may_end_at_any_byte_behind_what_is_durable(groups: list[int], more: bytes) -> None:
    disk = MemoryDisk(random.Random(0))
    log = DiskEventLog(disk)
    ends: list[int] = []
    for size in groups:
        log.append([numbered(len(ends) + place) for place in range(size)])
        durable = read_durable(disk)
        assert durable is not None
        ends.append(durable.length)
    content = disk.read(segment_name(1), 0, ends[-1])
    expected: list[int] | None = None
    for cut in range(ends[0], ends[-1] + 1):
        torn = MemoryDisk(random.Random(0))
        torn.create(segment_name(1)).write_at(0, content[:cut] + more)
        torn.create("durable").write_at(0, encode_durable(1, max(end for end in ends if end <= cut)))
        copy = MemoryDisk(random.Random(0))
        prefix = copied(torn, copy, NO_PREFIX)
        found = numbers(copy, prefix)
        assert expected is None or found[: len(expected)] == expected
        expected = found
        assert copy.length(segment_name(1)) == prefix.length <= cut
    assert expected is not None
    assert len(expected) == sum(groups)


def a_copy(count: int) -> tuple[MemoryDisk, LogPrefix]:
    disk, copy = MemoryDisk(random.Random(0)), MemoryDisk(random.Random(1))
    log = DiskEventLog(disk, segment_bytes=300)
    for number in range(count):
        log.append([numbered(number)])
    return copy, copied(disk, copy, NO_PREFIX)


@settings(max_examples=20)
@given(count=st.integers(1, 8))
def test_a_copy_cut_at_any_byte_is_damaged(count: int) -> None:
    copy, prefix = a_copy(count)
    until = Durable(prefix.holds.segments, prefix.length)
    for number in segment_numbers(copy.names()):
        name = segment_name(number)
        content = copy.read(name, 0, 10**6)
        for cut in range(len(content)):
            file = copy.open(name)
            file.truncate(cut)
            with pytest.raises(LogDamaged, match=r"\.seg: "):
                numbers(copy, prefix)
            with pytest.raises(LogDamaged, match=r"\.seg: "):
                copy_log(copy, MemoryDisk(random.Random(0)), NO_PREFIX, until)
            file.write_at(0, content)
    assert numbers(copy, prefix) == list(range(count))


@settings(max_examples=200)
@given(count=st.integers(1, 12), at=st.integers(0, 10**6))
def test_a_copy_with_any_byte_altered_is_damaged(count: int, at: int) -> None:
    copy, prefix = a_copy(count)
    sizes = {name: copy.length(name) for name in copy.names()}
    place = at % sum(sizes.values())
    for name, size in sizes.items():
        if place < size:
            copy.damage(name, place)
            break
        place -= size
    with pytest.raises(LogDamaged, match=r"\.seg: "):
        numbers(copy, prefix)
    until = Durable(prefix.holds.segments, prefix.length)
    with pytest.raises(LogDamaged, match=r"\.seg: "):
        copy_log(copy, MemoryDisk(random.Random(0)), NO_PREFIX, until)
