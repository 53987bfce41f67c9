"""A log cut at any byte: every record that was whole before the cut is read back, and nothing else."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.recovery import TornEnd
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.memory.disk import SECTOR_BYTES, MemoryDisk
from entrepot.core.errors import LogDamaged
from entrepot.core.segments import HEADER_BYTES, encode_durable, segment_name
from entrepot.ports.event_log import START
from tests.support.log_disk import held, read
from tests.support.log_records import numbered

GROUPS = st.lists(st.integers(1, 4), min_size=1, max_size=5)
# What stands behind a cut: nothing, the torn part of a write, zeros made ahead, or the one and then the other.
ZEROS = st.integers(0, 200).map(bytes)
TAILS = st.builds(bytes.__add__, st.binary(max_size=60), ZEROS)


def written(groups: list[int]) -> tuple[MemoryDisk, list[tuple[int, int]]]:
    """A disk with one segment of these groups, and (end of group, records until there) for each."""
    disk = MemoryDisk(random.Random(0))
    log = DiskEventLog(disk)
    ends = [(HEADER_BYTES, 0)]
    for size in groups:
        count = ends[-1][1]
        log.append([numbered(count + place) for place in range(size)])
        ends.append((held(disk), count + size))
    disk.crash()
    disk.open(segment_name(1)).truncate(ends[-1][0])  # Without the zeros made ahead: these are a tail like others.
    return disk, ends


@settings(max_examples=60)
@given(groups=GROUPS, tail=TAILS)
def test_cut_at_every_byte(groups: list[int], tail: bytes) -> None:
    whole, ends = written(groups)
    content = whole.read(segment_name(1), 0, 10**6)
    frames = record_ends(whole)
    for cut in range(HEADER_BYTES, len(content) + 1):
        torn = content[:cut] + tail
        disk, durable = torn_at(torn, ends, cut)
        log = DiskEventLog(disk)
        good = common(content, torn)  # The tail may begin as the records did.
        expected = sum(end <= good for end in frames)
        assert expected >= durable
        assert read(disk) == list(range(expected))
        whole_at = max(end for end in (HEADER_BYTES, *frames, *group_starts(ends)) if end <= good)
        left = torn[whole_at:].rstrip(b"\0")
        saved = f"torn/00000001-{whole_at}"
        assert log.torn == (TornEnd(segment_name(1), whole_at, len(left), saved) if left else None)
        if left:
            assert disk.read(saved, 0, 10**6) == left
        log.append([numbered(expected)])
        log.close()
        assert read(disk) == list(range(expected + 1))
        assert DiskLogReader(disk).check().records == expected + 1


@settings(max_examples=60)
@given(groups=GROUPS.filter(lambda groups: len(groups) > 1), at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_changed_bit_is_damage_or_the_torn_end(groups: list[int], at: int, bit: int) -> None:
    disk, ends = written(groups)
    place = HEADER_BYTES + at % (ends[-1][0] - HEADER_BYTES)
    content = bytearray(disk.read(segment_name(1), 0, 10**6))
    content[place] ^= 1 << bit
    replace(disk, bytes(content))
    in_last_group = place >= ends[-2][0]
    disk.remove("durable")  # As after a power cut: what was acknowledged of the last group, nobody can tell.
    if in_last_group:
        DiskEventLog(disk)
        kept = read(disk)
        assert kept == list(range(len(kept)))
        assert len(kept) >= ends[-2][1]
    else:
        with pytest.raises(LogDamaged, match=r"00000001\.seg: the record at offset \d+ is damaged"):
            DiskEventLog(disk)


@settings(max_examples=60)
@given(groups=GROUPS, last=st.integers(1, 40), lost=st.sets(st.integers(0, 20)), ahead=ZEROS)
def test_any_sectors_of_the_last_write_are_lost(groups: list[int], last: int, lost: set[int], ahead: bytes) -> None:
    """Given zeros that were overwritten by a group of which a power cut left some sectors, then whole records up to the
    first hole count, what was durable before is untouched, and the rest is torn."""
    before, ends = written(groups)
    first = ends[-1][1]
    whole, _ = written([*groups, last])
    content = whole.read(segment_name(1), 0, 10**6)
    torn = bytearray(content + ahead)
    for sector in lost:
        place = range(max(ends[-1][0], sector * SECTOR_BYTES), min(len(content), (sector + 1) * SECTOR_BYTES))
        torn[place.start : place.stop] = bytes(len(place))
    replace(before, bytes(torn))
    log = DiskEventLog(before)
    good = common(content, bytes(torn))
    expected = sum(end <= good for end in record_ends(whole))
    assert expected >= first
    assert read(before) == list(range(expected))
    log.append([numbered(expected)])
    assert DiskLogReader(before).check().records == expected + 1


def common(left: bytes, right: bytes) -> int:
    """How many bytes the two begin with alike."""
    both = min(len(left), len(right))
    return next((at for at in range(both) if left[at] != right[at]), both)


def record_ends(disk: MemoryDisk) -> list[int]:
    return [place.offset for place, _ in DiskLogReader(disk).read(START, 10**6)]


def group_starts(ends: list[tuple[int, int]]) -> set[int]:
    """Where a cut leaves a whole group head and nothing behind it."""
    return {end + 17 for end, _ in ends[:-1]}


def torn_at(content: bytes, ends: list[tuple[int, int]], cut: int) -> tuple[MemoryDisk, int]:
    """(a disk with this segment, whose durable length is the last group's end before the cut; the records durable)."""
    disk, _ = written([1])
    replace(disk, content)
    length, durable = max(end for end in ends if end[0] <= cut)
    disk.open("durable").write_at(0, encode_durable(1, length))
    return disk, durable


def replace(disk: MemoryDisk, content: bytes) -> None:
    file = disk.open(segment_name(1))
    file.truncate(0)
    file.write_at(0, content)
    file.sync()
