"""The log on disk: groups, segments, failures, damage, readers."""

import errno
import os
import random
from pathlib import Path

import pytest

from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.memory.disk import Act, MemoryDisk, MemoryFile, no_fault
from entrepot.core.errors import BadInput, LogDamaged, UsageLogUnavailable
from entrepot.core.log_records import LogRecord, Marked, WorldApplied, encode_record
from entrepot.core.segments import (
    HEADER_BYTES,
    RECORD_BYTES_MAX,
    frame,
    segment_numbers,
)
from entrepot.ports.event_log import START, CheckedLog
from tests.support.log_disk import held, once, read
from tests.support.log_records import admitted, number_of, numbered, usage


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk(random.Random(0))


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
    assert (counted.records, counted.failures) == (100, 0)
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


def test_who_cannot_tell_where_the_log_ends_does_not_say_that_it_does(disk: MemoryDisk) -> None:
    """Given a durable length that was written by half, a reader further on waits, until the writer says it again."""
    log = DiskEventLog(disk)
    log.append([numbered(0)])
    reader = DiskLogReader(disk)
    ((place, _),) = reader.read(START, 10)
    disk.open("durable").write_at(3, b"torn")
    assert list(reader.read(START, 10)) == []
    with pytest.raises(UsageLogUnavailable, match="how far the usage log is durable cannot be read"):
        list(reader.read(place, 10))
    log.append([numbered(1)])
    assert [number_of(record) for _, record in reader.read(place, 10)] == [1]


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
