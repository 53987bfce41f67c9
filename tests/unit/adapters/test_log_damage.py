"""The log on a disk that held on to something else than was written: torn ends, zeros, damage."""

import random

import pytest

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.memory.disk import MemoryDisk
from entrepot.core.errors import LogDamaged, UsageLogUnavailable
from entrepot.core.log_records import encode_record
from entrepot.core.segments import (
    HEADER_BYTES,
    frame,
    group_head,
    seal_frame,
    segment_name,
    split_frames,
)
from entrepot.ports.event_log import START, Position
from tests.support.log_disk import held, once, read
from tests.support.log_records import number_of, numbered

SEAL_BYTES = len(seal_frame(0, bytes(32)))


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk(random.Random(0))


def test_groups_overwrite_zeros_and_a_segment_that_is_done_has_none(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk, segment_bytes=4_000)
    lengths: list[int] = []
    while log.counters.size_bytes < 4_000 - HEADER_BYTES:
        log.append([numbered(log.counters.records)])
        lengths.append(disk.length(segment_name(1)))
        assert disk.read(segment_name(1), held(disk), 10_000).count(0) == lengths[-1] - held(disk)
    assert len(set(lengths)) < 10 < len(lengths)
    assert lengths[-2] <= 4_000
    log.append([numbered(log.counters.records)])
    log.close()
    for number in (1, 2):
        content = disk.read(segment_name(number), 0, 10_000)
        found = split_frames(content, 0, HEADER_BYTES, 10_000)
        assert (found.stop, found.stop_at) == ("seal", len(content) - SEAL_BYTES)


def test_zeros_that_were_never_used_are_no_torn_end(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    disk.crash()
    assert disk.length(segment_name(1)) > held(disk)
    again = DiskEventLog(disk)
    assert again.torn is None
    again.append([numbered(1)])
    assert read(disk) == [0, 1]
    assert DiskLogReader(disk).check().records == 2


def test_a_failed_group_leaves_a_segment_without_zeros(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    disk.fault = once("sync", "00000001")
    with pytest.raises(UsageLogUnavailable):
        log.append([numbered(1)])
    assert disk.length(segment_name(1)) == held(disk)


def test_zeros_among_durable_records_are_damage(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    for number in range(3):
        log.append([numbered(number)])
    at = next(place.offset for place, _ in DiskLogReader(disk).read(START, 10))
    disk.crash()
    disk.open(segment_name(1)).write_at(at, bytes(held(disk) - at))
    expected = rf"00000001\.seg: the record at offset {at} is damaged"
    with pytest.raises(LogDamaged, match=expected):
        read(disk)
    with pytest.raises(LogDamaged, match=expected):
        DiskLogReader(disk).check()
    with pytest.raises(LogDamaged, match=expected):
        DiskEventLog(disk)


def three_segments(disk: MemoryDisk) -> None:
    for first in (0, 10, 20):
        log = DiskEventLog(disk)
        for number in range(first, first + 10):
            log.append([numbered(number)])
        log.close()


@pytest.mark.parametrize("segment", [1, 2, 3])
def test_damage_in_the_middle_is_named_and_never_skipped(disk: MemoryDisk, segment: int) -> None:
    three_segments(disk)
    places = [place for place, _ in DiskLogReader(disk).read(START, 100) if place.segment == segment]
    disk.damage(segment_name(segment), places[4].offset + 17 + 8 + 3)
    expected = rf"{segment_name(segment)}: the record at offset {places[4].offset + 17} is damaged"
    reader = DiskLogReader(disk)
    seen: list[int] = []
    with pytest.raises(LogDamaged, match=expected):
        seen.extend(number_of(record) for _, record in reader.read(START, 100))
    assert list(reader.read(START, 10 * segment - 5))[-1][1] == numbered(10 * segment - 6)
    with pytest.raises(LogDamaged, match=expected):
        reader.check()
    if segment == 3:
        with pytest.raises(LogDamaged, match=expected):
            DiskEventLog(disk)


def test_a_broken_chain_is_damage(disk: MemoryDisk) -> None:
    """Given a segment whose records were replaced by valid others, when it is checked, then the chain says so."""
    three_segments(disk)
    content = disk.read(segment_name(2), 0, 10**6)
    file = disk.open(segment_name(2))
    file.write_at(0, content.replace(frame(encode_record(numbered(12))), frame(encode_record(numbered(13)))))
    assert read(disk)[:14] == [*range(12), 13, 13]
    with pytest.raises(LogDamaged, match=r"00000002\.seg: its content does not match its seal"):
        DiskLogReader(disk).check()


def test_a_seal_that_does_not_match_is_damage(disk: MemoryDisk) -> None:
    three_segments(disk)
    forged = disk.read(segment_name(3), 0, 10**6).replace(
        frame(encode_record(numbered(22))), frame(encode_record(numbered(23)))
    )
    disk.open(segment_name(3)).write_at(0, forged)
    with pytest.raises(LogDamaged, match=r"00000003\.seg: the seal at offset \d+ does not match"):
        DiskEventLog(disk)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_segment_is_damage(disk: MemoryDisk, missing: int) -> None:
    three_segments(disk)
    disk.remove(segment_name(missing))
    with pytest.raises(LogDamaged, match=rf"{segment_name(missing)}: the file is missing"):
        DiskEventLog(disk)
    with pytest.raises(LogDamaged, match=segment_name(missing)):
        read(disk)


@pytest.mark.parametrize("segment", [1, 3])
def test_a_segment_cut_short_is_damage(disk: MemoryDisk, segment: int) -> None:
    three_segments(disk)
    file = disk.open(segment_name(segment))
    file.truncate(disk.length(segment_name(segment)) - 60)
    file.sync()
    with pytest.raises(LogDamaged, match=rf"{segment_name(segment)}: (ends at|the record at)"):
        read(disk)
    if segment == 3:
        with pytest.raises(LogDamaged, match=segment_name(3)):
            DiskEventLog(disk)


def test_a_predecessor_cut_short_is_noticed_at_the_next_start(disk: MemoryDisk) -> None:
    three_segments(disk)
    disk.open(segment_name(2)).truncate(200)
    with pytest.raises(LogDamaged, match=r"00000002\.seg: ends before offset"):
        DiskEventLog(disk)


def test_a_place_beyond_a_segments_end_is_damage(disk: MemoryDisk) -> None:
    three_segments(disk)
    with pytest.raises(LogDamaged, match="were read before"):
        list(DiskLogReader(disk).read(Position(1, 10**6), 1))


def test_a_place_beyond_the_durable_end_has_nothing_after_it(disk: MemoryDisk) -> None:
    """As after a power cut that took the newest durable length with it, until the log is opened again."""
    three_segments(disk)
    assert list(DiskLogReader(disk).read(Position(3, 10**6), 1)) == []
    assert list(DiskLogReader(disk).read(Position(4, 64), 1)) == []


def test_a_record_of_an_unknown_kind_is_named(disk: MemoryDisk) -> None:
    DiskEventLog(disk).commit([frame(encode_record(numbered(0))), frame(b"\x91\xa6Strang")], 2)
    with pytest.raises(LogDamaged, match="of no known kind"):
        read(disk)


def test_a_group_that_lost_its_first_page_is_the_torn_end(disk: MemoryDisk) -> None:
    """Pages of one unsynced write reach the disk in any order: valid records behind a hole are no sign of damage."""
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    disk.crash()
    end = held(disk)
    torn = bytearray(group_head(end) + b"".join(frame(encode_record(numbered(number))) for number in range(1, 50)))
    torn[0:512] = bytes(512)
    disk.open(segment_name(1)).write_at(end, bytes(torn))
    again = DiskEventLog(disk)
    assert again.torn is not None
    assert (again.torn.offset, again.torn.length) == (end, len(torn))
    assert read(disk) == [0]


def test_a_torn_end_that_cannot_be_saved_does_not_stop_the_log(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    disk.crash()
    disk.open(segment_name(1)).write_at(held(disk), b"torn")
    disk.fault = once("create", "torn/")
    again = DiskEventLog(disk)
    assert again.torn is not None
    assert again.torn.saved is None
    again.append([numbered(1)])
    assert read(disk) == [0, 1]
