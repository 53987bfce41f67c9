"""The log on disk: groups, segments, failures, damage, readers."""

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot.adapters.disk_event_log.files import read_durable
from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.memory.disk import Act, Fault, MemoryDisk, MemoryFile, no_fault
from entrepot.core.errors import BadInput, LogDamaged, UsageLogUnavailable
from entrepot.core.log_records import LogRecord, Marked, WorldApplied, encode_record
from entrepot.core.segments import (
    HEADER_BYTES,
    RECORD_BYTES_MAX,
    frame,
    group_head,
    seal_frame,
    segment_name,
    segment_numbers,
    split_frames,
)
from entrepot.ports.disk import Disk
from entrepot.ports.event_log import START, CheckedLog, LogCounters, Position
from tests.support.log_records import admitted, number_of, numbered, usage

SEAL_BYTES = len(seal_frame(0, bytes(32)))


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk(random.Random(0))


def read(disk: Disk) -> list[int]:
    return [number_of(record) for _, record in DiskLogReader(disk).read(START, 10**6)]


def held(disk: Disk) -> int:
    """How much of the last segment holds something."""
    durable = read_durable(disk)
    assert durable is not None
    return durable.length


def once(act: Act, name: str = "") -> Callable[[Act, str], Fault]:
    """A fault the next time this is done to this file."""
    left = [True]

    def fault(done: Act, to: str) -> Fault:
        if done == act and to.startswith(name) and left:
            left.clear()
            return "broken"
        return None

    return fault


def test_records_come_back_from_a_real_disk(tmp_path: Path) -> None:
    records: list[LogRecord] = [
        usage(1),
        admitted(2, "gateway-1"),
        WorldApplied(at=3, world=b"{}" * 500_000),
        Marked(at=4),
    ]
    log = DiskEventLog(LocalDisk(tmp_path / "log"))
    log.append(records)
    log.append([])
    log.close()
    reader = DiskLogReader(LocalDisk(tmp_path / "log"))
    assert [record for _, record in reader.read(START, 10)] == records
    assert reader.check().records == 4


def test_a_group_is_one_write_and_one_sync(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    acts: list[tuple[Act, str]] = []
    disk.fault = lambda act, name: acts.append((act, name))
    frames = [frame(encode_record(numbered(number))) for number in range(1, 100)]
    log.commit(frames, len(frames))
    assert acts == [("write", "00000001.seg"), ("sync", "00000001.seg"), ("write", "durable")]
    assert read(disk) == list(range(100))
    counted = log.counters
    assert (counted.records, counted.groups, counted.group_records_max, counted.failures) == (100, 2, 99, 0)
    assert 0 < counted.flush_us_max <= counted.flush_us
    assert counted.size_bytes == held(disk) - HEADER_BYTES


def test_segments_are_sealed_and_chained(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk, segment_bytes=500)
    for number in range(50):
        log.append([numbered(number)])
    log.close()
    segments = len(segment_numbers(disk.names()))
    assert segments > 3
    assert read(disk) == list(range(50))
    checked = DiskLogReader(disk).check()
    assert (checked.segments, checked.records) == (segments, 50)
    again = DiskEventLog(disk, segment_bytes=500)
    assert again.torn is None
    again.append([numbered(50)])
    assert read(disk) == list(range(51))
    assert DiskLogReader(disk).check().seal != checked.seal


def test_an_empty_log_reads_and_checks_as_empty(disk: MemoryDisk) -> None:
    assert read(disk) == []
    assert DiskLogReader(disk).check() == CheckedLog(segments=0, records=0, size_bytes=0, seal="0" * 64)
    DiskEventLog(disk).close()
    assert segment_numbers(disk.names()) == []


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


def test_positions_are_where_reading_goes_on(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk, segment_bytes=300)
    for number in range(30):
        log.append([numbered(number), numbered(number)])
    reader = DiskLogReader(disk)
    whole = list(reader.read(START, 1000))
    assert [place for place, _ in whole] == sorted({place for place, _ in whole})
    for at in range(len(whole)):
        assert list(reader.read(whole[at][0], 7)) == whole[at + 1 : at + 8]
    assert list(reader.read(START, 0)) == []


def test_a_record_longer_than_a_chunk_is_read(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    large = WorldApplied(at=1, world=bytes(3_000_000))
    log.append([numbered(0), large, numbered(1)])
    assert [record for _, record in DiskLogReader(disk).read(START, 10)] == [numbered(0), large, numbered(1)]
    log.close()
    assert DiskEventLog(disk).torn is None


def test_a_record_that_is_too_long_is_refused_and_changes_nothing(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    with pytest.raises(BadInput, match="16777216"):
        log.append([numbered(0), WorldApplied(at=1, world=bytes(RECORD_BYTES_MAX))])
    log.append([numbered(1)])
    assert read(disk) == [1]


def test_readers_see_only_what_is_durable(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    seen: list[list[int]] = []
    disk.fault = lambda act, _name: seen.append(read(disk)) if act == "sync" else None
    log.append([numbered(1)])
    assert seen == [[0]]
    assert read(disk) == [0, 1]


@pytest.mark.parametrize("act", ["write", "sync"])
def test_a_failed_group_is_refused_and_leaves_no_trace(disk: MemoryDisk, act: Act) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    disk.fault = once(act, "00000001")
    with pytest.raises(UsageLogUnavailable, match="cannot write the usage log: Input/output error") as raised:
        log.append([numbered(1)])
    assert raised.value.retry_after_s is not None
    assert read(disk) == [0]
    acts: list[tuple[Act, str]] = []
    disk.fault = lambda act, name: acts.append((act, name))
    log.append([numbered(2)])
    assert not [name for _, name in acts if name == "00000001.seg"], "a failed segment was touched again"
    assert read(disk) == [0, 2]
    assert DiskLogReader(disk).check().records == 2
    assert log.counters.failures == 1


@pytest.mark.parametrize("act", ["write", "sync"])
def test_a_file_that_cannot_even_be_closed_is_left_all_the_same(
    disk: MemoryDisk, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(_: MemoryFile) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = DiskEventLog(disk, segment_bytes=HEADER_BYTES + 1)
    log.append([numbered(0)])
    monkeypatch.setattr(MemoryFile, "close", close)
    disk.fault = once(act, "00000002")
    with pytest.raises(UsageLogUnavailable):
        log.append([numbered(1)])
    log.append([numbered(2)])
    assert read(disk) == [0, 2]


@pytest.mark.parametrize(
    ("act", "name"),
    [("create", "00000002"), ("write", "00000002"), ("sync", "00000002"), ("rename", "00000002"), ("sync_names", "")],
)
def test_a_segment_that_cannot_be_begun_is_tried_again(disk: MemoryDisk, act: Act, name: str) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    disk.fault = once("sync")
    with pytest.raises(UsageLogUnavailable):
        log.append([numbered(1)])
    disk.fault = once(act, name)
    with pytest.raises(UsageLogUnavailable, match="cannot begin a segment"):
        log.reopen()
    log.reopen()
    log.reopen()
    log.append([numbered(2)])
    disk.cut_power()
    DiskEventLog(disk)
    assert read(disk) == [0, 2]


def test_a_durable_group_counts_even_if_readers_cannot_be_told(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    disk.fault = once("write", "durable")
    log.append([numbered(1)])
    log.append([numbered(2)])
    assert read(disk) == [0, 1, 2]
    assert segment_numbers(disk.names()) == [1, 2]


def test_a_full_disk_refuses_clearly_and_goes_on_by_itself(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk, room_bytes_min=2**20)
    log.append([numbered(0)])
    used = 2**40 - disk.bytes_free()
    disk.capacity_bytes = used + 100
    for _ in range(3):
        with pytest.raises(UsageLogUnavailable, match=r"No space left on device; free at least 1 MiB"):
            log.append([numbered(number) for number in range(1, 20)])
    assert read(disk) == [0]
    disk.capacity_bytes = used + 2**21
    log.append([numbered(20)])
    assert read(disk) == [0, 20]
    assert DiskLogReader(disk).check().records == 2


def test_a_segment_is_begun_only_where_it_is_worth_it(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk, room_bytes_min=10_000)
    disk.capacity_bytes = 9_999
    with pytest.raises(UsageLogUnavailable, match="No space left"):
        log.append([numbered(0)])
    assert disk.names() == []
    disk.capacity_bytes = 10_000
    log.append([numbered(0)])
    assert read(disk) == [0]


def test_the_log_has_one_writer(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    with pytest.raises(UsageLogUnavailable, match="written by"):
        DiskEventLog(disk)
    log.close()
    DiskEventLog(disk)


def test_a_log_that_cannot_be_opened_is_not_kept_locked(disk: MemoryDisk) -> None:
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    disk.crash()
    disk.fault = once("sync", "00000001")
    with pytest.raises(UsageLogUnavailable, match="cannot read the end"):
        DiskEventLog(disk)
    DiskEventLog(disk).append([numbered(1)])
    assert read(disk) == [0, 1]


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


def test_the_list_of_instances_is_replaced_whole(disk: MemoryDisk) -> None:
    live = InstanceFile(disk)
    assert live.load() == []
    live.save({"b", "a"})
    disk.fault = once("sync")
    with pytest.raises(OSError, match="Input/output"):
        live.save({"c"})
    disk.fault = no_fault
    assert live.load() == ["a", "b"]
    live.save(["c"])
    disk.cut_power()
    assert live.load() == ["c"]
    disk.damage("instances", 0)
    with pytest.raises(LogDamaged, match="instances: the list of gateway instances is damaged"):
        live.load()


def test_counters_start_at_nothing() -> None:
    assert set(vars_of(LogCounters())) == {0}


def vars_of(counters: LogCounters) -> list[int]:
    return [getattr(counters, name) for name in counters.__struct_fields__]
