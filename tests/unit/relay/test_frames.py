"""Frames: found however they are cut, as an independent library writes and reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from entrepot.relay.frames import (
    CLOSE,
    FRAME_BYTES_MAX,
    TEXT,
    BrokenFrames,
    FrameReader,
    MessageScanner,
    close_frame,
    frame,
)

MARK, COUNT = b'"done"', b'.delta"'

payloads = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b'{"type":"done"}', b'{"type":"a.delta"}', b"x" * 125, b"x" * 126, b"y" * 65_536]),
)


@st.composite
def messages(draw: st.DrawFn) -> list[Frame]:
    """Frames of whole messages, some in parts, with control frames in between."""
    frames: list[Frame] = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
        parts = draw(st.lists(payloads, min_size=1, max_size=4))
        for number, part in enumerate(parts):
            if draw(st.booleans()):
                frames.append(Frame(draw(st.sampled_from([Opcode.PING, Opcode.PONG])), b"hello"))
            frames.append(Frame(Opcode.CONT if number else kind, part, fin=number == len(parts) - 1))
    return frames


def cut(data: st.DataObject, text: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(messages(), st.booleans(), st.data())
def test_pieces_are_the_frames_that_were_written(frames: list[Frame], masked: bool, data: st.DataObject) -> None:
    text = b"".join(item.serialize(mask=masked) for item in frames)
    reader = FrameReader(masked=masked)
    sizes: list[int] = []
    completed = 0
    for piece_of_text in cut(data, text):
        at = 0
        for piece in reader.feed(piece_of_text):
            assert piece.at == at
            assert piece.at <= piece.begin <= piece.stop
            at = piece.stop
            if piece.begins:
                sizes.append(0)
            sizes[-1] += piece.stop - piece.begin
            completed += piece.completes
        assert at == len(piece_of_text)
    assert reader.is_between
    assert sizes == [len(item.data) for item in frames]
    assert completed == sum(item.fin for item in frames)


@given(messages(), st.data())
def test_a_scanner_gives_back_all_bytes_cut_behind_messages_with_a_mark(
    frames: list[Frame], data: st.DataObject
) -> None:
    text = b"".join(item.serialize(mask=False) for item in frames)
    scanner = MessageScanner((MARK,), COUNT)
    parts = [part for piece in cut(data, text) for part in scanner.feed(piece)]
    assert b"".join(part.data for part in parts) == text
    said = texts(frames)
    assert [part.message for part in parts if part.message] == [item for item in said if MARK in item]
    assert scanner.counted == sum(COUNT in item for item in said)
    ends = [sum(len(part.data) for part in parts[: number + 1]) for number, part in enumerate(parts) if part.message]
    assert ends == ends_of_marked(frames)


def texts(frames: list[Frame]) -> list[bytes]:
    found: list[bytes] = []
    kind = Opcode.TEXT
    for item in frames:
        if item.opcode in {Opcode.TEXT, Opcode.BINARY}:
            kind = item.opcode
            if kind is Opcode.TEXT:
                found.append(bytes(item.data))
        elif item.opcode is Opcode.CONT and kind is Opcode.TEXT:
            found[-1] += bytes(item.data)
    return found


def ends_of_marked(frames: list[Frame]) -> list[int]:
    """Where in the bytes of the frames the messages end that hold a mark."""
    ends, at, kind, said = [], 0, Opcode.TEXT, b""
    for item in frames:
        at += len(item.serialize(mask=False))
        if item.opcode in {Opcode.TEXT, Opcode.BINARY}:
            kind, said = item.opcode, bytes(item.data)
        elif item.opcode is Opcode.CONT:
            said += bytes(item.data)
        else:
            continue
        if item.fin and kind is Opcode.TEXT and MARK in said:
            ends.append(at)
    return ends


def test_what_a_part_is_behind_is_known() -> None:
    scanner = MessageScanner((MARK,), COUNT)
    whole = frame(TEXT, b'{"type":"done"}', masked=False)
    [part] = scanner.feed(whole)
    assert part.between
    scanner.feed(whole[:5])
    [part] = scanner.feed(whole[5:])
    assert not part.between
    assert part.message == b'{"type":"done"}'
    counted = scanner.feed(frame(TEXT, b'{"type":"x.delta"}', masked=False) + whole)
    assert [(bool(part.message), part.counted) for part in counted] == [(False, 0), (True, 1)]
    assert not scanner.is_closed
    scanner.watch(b"bye")
    assert scanner.feed(frame(TEXT, b"bye", masked=False))[0].message == b"bye"
    scanner.feed(close_frame(1000, "", masked=False))
    assert scanner.is_closed


@pytest.mark.parametrize(
    "noise",
    [
        b"\xc1\x00",
        b"\x91\x00",
        b"\x83\x00",
        b"\x8b\x00",
        b"\x80\x00",
        b"\x81\x80\0\0\0\0",
        b"\x01\x00\x81\x00",
        b"\x09\x00",
        b"\x89\x7e\x00\x7e",
        b"\x81\x7f" + (FRAME_BYTES_MAX + 1).to_bytes(8, "big"),
        b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_what_is_no_frame_is_refused(noise: bytes) -> None:
    with pytest.raises(BrokenFrames):
        FrameReader(masked=False).feed(noise)
    with pytest.raises(BrokenFrames):
        feed_bytewise(FrameReader(masked=False), noise)


def feed_bytewise(reader: FrameReader, text: bytes) -> None:
    for byte in text:
        reader.feed(bytes((byte,)))


def test_a_message_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot.relay.frames.MESSAGE_BYTES_MAX", 100)
    scanner = MessageScanner((MARK,), COUNT)
    scanner.feed(b"\x01\x32" + b"x" * 50)
    with pytest.raises(BrokenFrames):
        scanner.feed(b"\x00\x33" + b"x" * 51)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
def test_our_own_frames_are_read_by_others(masked: bool, size: int) -> None:
    read = parsed(frame(TEXT, b"x" * size, masked=masked), masked=masked)
    assert (read.opcode, bytes(read.data), read.fin) == (Opcode.TEXT, b"x" * size, True)
    ending = parsed(close_frame(1001, "going", masked=masked), masked=masked)
    assert (ending.opcode, bytes(ending.data)) == (Opcode(CLOSE), b"\x03\xe9going")


def parsed(text: bytes, *, masked: bool) -> Frame:
    stream = StreamReader()
    stream.feed_data(text)
    parsing = Frame.parse(stream.read_exact, mask=masked, max_size=None)
    try:
        while True:
            next(parsing)
    except StopIteration as done:
        found: Frame = done.value
        return found
