"""The chunked coding: what is read, what is refused, and that pieces make no difference."""

import pytest

from entrepot.core.chunked_coding import LINE_BYTES_MAX, TRAILER_BYTES_MAX, BadChunk, ChunkedReader

WHOLE = b"4\r\nWiki\r\n6;ext=1\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nX-Sum: 1\r\n\r\n"
PAYLOAD = b"Wikipedia in \r\n\r\nchunks."


def read(*pieces: bytes) -> tuple[bytes, ChunkedReader]:
    reader = ChunkedReader()
    return b"".join(reader.feed(piece) for piece in pieces), reader


def test_nothing_is_read_at_first() -> None:
    reader = ChunkedReader()
    assert (reader.complete, reader.between, reader.rest) == (False, True, b"")


@pytest.mark.parametrize(
    ("sent", "between"),
    [(b"1", False), (b"1\r\n", False), (b"1\r\na\r", False), (b"1\r\na\r\n", True), (b"0\r\n", False)],
)
def test_between_chunks_none_is_open(sent: bytes, between: bool) -> None:
    assert read(sent)[1].between == between


@pytest.mark.parametrize("size", [b"10", b"1A", b"1a", b"0FF"])
def test_sizes_are_hexadecimal(size: bytes) -> None:
    content = b"x" * int(size, 16)
    assert read(size + b"\r\n" + content + b"\r\n0\r\n\r\n")[0] == content


def test_a_size_line_and_a_trailer_may_be_as_long_as_their_bounds() -> None:
    """One byte more is too much."""
    size = b"1;" + b"a" * (LINE_BYTES_MAX - 2)
    assert read(size, b"\r\nx\r\n")[0] == b"x"
    with pytest.raises(BadChunk, match="not hexadecimal digits and CRLF"):
        read(size + b"a")
    trailer = b"A:" + b"b" * (TRAILER_BYTES_MAX - 2)
    assert read(b"0\r\n", trailer, b"\r\n\r\n")[1].complete
    with pytest.raises(BadChunk, match="the trailer is too long"):
        read(b"0\r\n", trailer + b"b")


def test_a_whole_body() -> None:
    payload, reader = read(WHOLE + b"next")
    assert (payload, reader.complete, reader.rest) == (PAYLOAD, True, b"next")


@pytest.mark.parametrize("cut", range(1, len(WHOLE)))
def test_cut_anywhere_it_is_the_same(cut: int) -> None:
    payload, reader = read(WHOLE[:cut], WHOLE[cut:])
    assert (payload, reader.complete, reader.rest) == (PAYLOAD, True, b"")


def test_byte_by_byte_it_is_the_same() -> None:
    payload, reader = read(*(WHOLE[at : at + 1] for at in range(len(WHOLE))))
    assert (payload, reader.complete) == (PAYLOAD, True)


@pytest.mark.parametrize("extension", [b";a", b";a=b", b';a="b c;d"', b';a=1;b;c=""'])
def test_an_extension_is_read_over(extension: bytes) -> None:
    assert read(b"1" + extension + b"\r\nx\r\n0" + extension + b"\r\n\r\n")[0] == b"x"


def test_an_empty_body() -> None:
    assert read(b"0\r\n\r\n")[1].complete


@pytest.mark.parametrize(
    "broken",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"1_0\r\n",
        b"\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n\n",
        b"1\r\naX",
        b"1;\x00\r\na\r\n",
        b"1;a\nb\r\na\r\n",
        b"1;\xe9\r\na\r\n",
        b"1;a b\r\na\r\n",
        b"1;a==b\r\na\r\n",
        b'1;a="b\r\na\r\n',
        b"FFFFFFFFFFFFFFFF\r\n",
        b"0\r\nno field\r\n\r\n",
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\nX: 1\r\ncontent-LENGTH: 1\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nX: 1\n\r\n\r\n",
        b"1" + b"0" * LINE_BYTES_MAX,
        b"0\r\nX: " + b"a" * TRAILER_BYTES_MAX,
    ],
)
def test_what_another_parser_could_read_differently_is_refused(broken: bytes) -> None:
    with pytest.raises(BadChunk):
        read(broken)
    with pytest.raises(BadChunk):
        read(*(broken[at : at + 1] for at in range(len(broken))))
