"""The segment format: what is whole is read, what is not is never taken for a record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.errors import BadInput, LogDamaged
from entrepot.core.segments import (
    DURABLE_BYTES,
    HEADER_BYTES,
    RECORD_BYTES_MAX,
    SegmentHeader,
    decode_durable,
    decode_header,
    encode_durable,
    encode_header,
    frame,
    group_head,
    later_group,
    seal_frame,
    sealed_with,
    segment_name,
    segment_numbers,
    split_frames,
    whole_frames,
)

HEADER = SegmentHeader(number=7, previous_length=12_345, previous_seal=bytes(range(32)))
PAYLOADS = st.lists(st.binary(min_size=1, max_size=300), max_size=30)


def group(offset: int, payloads: list[bytes]) -> bytes:
    return group_head(offset) + b"".join(map(frame, payloads))


def test_names_sort_as_the_segments_follow() -> None:
    assert segment_name(1) == "00000001.seg"
    names = ["00000010.seg", "00000002.seg", "00000003.new", "durable", "x.seg", "lock"]
    assert segment_numbers(names) == [2, 10]


def test_a_header_comes_back() -> None:
    content = encode_header(HEADER)
    assert len(content) == HEADER_BYTES
    assert decode_header(content + b"more", 7) == HEADER


@pytest.mark.parametrize("at", range(HEADER_BYTES))
def test_a_header_with_any_byte_changed_is_damage(at: int) -> None:
    content = bytearray(encode_header(HEADER))
    content[at] ^= 1
    with pytest.raises(LogDamaged, match=r"00000007\.seg"):
        decode_header(bytes(content), 7)


def test_a_header_of_another_segment_is_damage() -> None:
    with pytest.raises(LogDamaged, match="not segment 8"):
        decode_header(encode_header(HEADER), 8)


def test_a_short_header_is_damage() -> None:
    with pytest.raises(LogDamaged, match="offset 0"):
        decode_header(encode_header(HEADER)[:-1], 7)


@given(groups=st.lists(PAYLOADS, max_size=5), base=st.integers(0, 2**40))
def test_frames_come_back_with_their_ends(groups: list[list[bytes]], base: int) -> None:
    content = b""
    for payloads in groups:
        content += group(base + len(content), payloads)
    found = split_frames(content, base, 0, 10**6)
    assert found.payloads == [payload for payloads in groups for payload in payloads]
    assert (found.stop, found.stop_at) == ("end", base + len(content))
    for end, payload in zip(found.ends, found.payloads, strict=True):
        assert content[end - base - len(payload) : end - base] == payload


@given(payloads=PAYLOADS, limit=st.integers(0, 10))
def test_reading_in_parts_is_reading_at_once(payloads: list[bytes], limit: int) -> None:
    content = group(0, payloads)
    first = split_frames(content, 0, 0, limit)
    rest = split_frames(content, 0, first.stop_at, 10**6)
    assert len(first.payloads) == min(limit, len(payloads))
    assert first.payloads + rest.payloads == payloads


@given(payloads=PAYLOADS.filter(bool), cut=st.integers(1, 10**6))
def test_a_cut_leaves_the_whole_frames_before_it(payloads: list[bytes], cut: int) -> None:
    content = group(0, payloads)
    length = len(content) - 1 - cut % (len(content) - 1)
    found = split_frames(content[:length], 0, 0, 10**6)
    assert found.payloads == payloads[: len(found.payloads)]
    assert found.stop in {"short", "end"}
    assert found.stop_at <= length


@given(payloads=PAYLOADS.filter(bool), at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_changed_bit_is_never_read(payloads: list[bytes], at: int, bit: int) -> None:
    content = bytearray(group(64, payloads))
    content[at % len(content)] ^= 1 << bit
    found = split_frames(bytes(content), 64, 0, 10**6)
    assert found.stop in {"bad", "short"}
    assert found.payloads == payloads[: len(found.payloads)]
    assert found.stop_at <= 64 + at % len(content)


@pytest.mark.parametrize("zeros", [8, 9, 4096])
def test_zeros_are_no_record(zeros: int) -> None:
    assert split_frames(bytes(zeros), 0, 0, 10)[0:3] == ([], [], "zeros")
    found = split_frames(group(64, [b"x"]) + bytes(zeros), 64, 0, 10)
    assert (found.payloads, found.stop, found.stop_at) == ([b"x"], "zeros", 64 + len(group(64, [b"x"])))


def test_a_group_head_somewhere_else_is_not_one() -> None:
    assert split_frames(group(100, [b"x"]), 101, 0, 10).stop == "bad"


def test_a_seal_stops_the_walk() -> None:
    before = group(64, [b"x"])
    content = before + seal_frame(64 + len(before), b"s" * 32)
    found = split_frames(content, 64, 0, 10)
    assert (found.payloads, found.stop, found.stop_at) == ([b"x"], "seal", 64 + len(before))
    assert sealed_with(content[len(before) :]) == b"s" * 32


def test_a_later_group_is_found_behind_rubbish() -> None:
    torn = b"\x00" * 50
    content = torn + group(150, [b"x"])
    assert later_group(content, 100, 100) == 150
    assert later_group(torn + group(151, [b"x"]), 100, 100) is None
    assert later_group(content, 100, 150) is None


def test_records_have_a_size() -> None:
    for payload in (b"", bytes(RECORD_BYTES_MAX + 1)):
        with pytest.raises(BadInput, match="16777216"):
            frame(payload)
    assert split_frames(frame(bytes(RECORD_BYTES_MAX)), 0, 0, 10).stop == "end"


@given(payloads=PAYLOADS)
def test_whole_frames_are_counted(payloads: list[bytes]) -> None:
    content = b"".join(map(frame, payloads))
    assert whole_frames(content) == (content, len(payloads))


@pytest.mark.parametrize(
    "broken",
    [frame(b"abc")[:-1], b"\x01", group_head(0), seal_frame(0, bytes(32)), bytes(20), frame(b"abc")[:-1] + b"d"],
    ids=["cut", "a byte", "group head", "seal", "zeros", "changed"],
)
def test_what_is_not_a_whole_record_ends_them(broken: bytes) -> None:
    good = frame(b"one") + frame(b"two")
    assert whole_frames(good + broken + frame(b"behind")) == (good, 2)


def test_the_durable_length_comes_back_whole_or_not_at_all() -> None:
    content = encode_durable(3, 2**33)
    assert len(content) == DURABLE_BYTES
    assert decode_durable(content) == (3, 2**33)
    mixed = content[:10] + encode_durable(4, 2**20)[10:]
    assert decode_durable(mixed) is None
    assert decode_durable(content[:-1]) is None
    assert decode_durable(b"") is None
