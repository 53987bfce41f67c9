"""Answers out of an upstream's bytes."""

import pytest

from entrepot.relay.http1 import HEAD_BYTES_MAX, AnswerReader, BrokenAnswer, read_whole

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream"
    b"\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
)
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello"


def read(*pieces: bytes) -> tuple[bytes, AnswerReader]:
    reader = AnswerReader()
    return b"".join(reader.feed(piece) for piece in pieces), reader


@pytest.mark.parametrize("answer", [LENGTH, CHUNKS, UNTIL_CLOSE])
def test_cut_anywhere_it_is_the_same(answer: bytes) -> None:
    for cut in range(1, len(answer)):
        payload, reader = read(answer[:cut], answer[cut:])
        assert payload == b"hello"
        assert reader.end_of_input()
        assert reader.head is not None
        assert reader.head.status == 200


def test_a_head_says_what_matters() -> None:
    _, reader = read(LENGTH)
    assert reader.head is not None
    assert (reader.head.media_type, reader.head.keep_alive) == (b"application/json", True)


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
    ],
)
def test_whether_the_connection_can_serve_again(head: bytes, keep_alive: bool) -> None:
    _, reader = read(head)
    assert reader.complete
    assert reader.head is not None
    assert reader.head.keep_alive is keep_alive


def test_an_answer_without_a_length_ends_with_its_connection_and_no_other_does() -> None:
    _, reader = read(UNTIL_CLOSE)
    assert not reader.complete
    assert reader.end_of_input()
    _, reader = read(LENGTH[:-1])
    assert not reader.end_of_input()
    _, reader = read(CHUNKS[:-1])
    assert not reader.end_of_input()


def test_a_reader_is_used_again() -> None:
    _, reader = read(CHUNKS)
    reader.reset()
    assert not reader.has_begun
    assert reader.feed(LENGTH) == b"hello"
    assert reader.complete


def test_it_has_begun_with_its_first_byte() -> None:
    assert read(b"H")[1].has_begun


@pytest.mark.parametrize(
    "broken",
    [
        b"\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        LENGTH + b"!",
        CHUNKS + b"!",
        b"HTTP/1.1 204 No Content\r\n\r\n!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * HEAD_BYTES_MAX,
    ],
)
def test_what_is_no_answer_is_broken(broken: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        read(broken)


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 2\r\nX: y\r\n"


@pytest.mark.parametrize("line", [b"", b"Connection: keep-alive\r\n", b"connection: Keep-Alive\r\n"])
def test_a_plain_answer_is_read_at_once(line: bytes) -> None:
    whole = read_whole(PLAIN + line + b"\r\n{}")
    assert whole is not None
    head, body = whole
    assert (head.status, head.keep_alive, head.media_type, body) == (200, True, b"application/json", b"{}")
    _, reader = read(PLAIN + line + b"\r\n{}")
    assert reader.head is not None
    assert (reader.head.status, reader.head.keep_alive, reader.head.text) == (200, True, head.text)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1],
        PLAIN + b"\r\n{",
        PLAIN + b"\r\n{} ",
        PLAIN + b"Transfer-Encoding: chunked\r\n\r\n{}",
        PLAIN + b"Connection: close\r\n\r\n{}",
        PLAIN + b"Connection: keep-alive, close\r\n\r\n{}",
        PLAIN + b"Content-Encoding: gzip\r\n\r\n{}",
        PLAIN + b"Content-Length: 3\r\n\r\n{}",
        PLAIN.replace(b"X: y", b"Content-Length:3") + b"\r\n{}",
        PLAIN.replace(b"content-length", b"Content-Length:3\r\ncontent-length") + b"\r\n{}",
        PLAIN.replace(b"HTTP", b"http") + b"\r\n{}",
        PLAIN.replace(b"200", b"201") + b"\r\n{}",
        PLAIN.replace(b"1.1", b"1.0") + b"\r\n{}",
        PLAIN.replace(b" 2\r", b" 02\r") + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"{}",
    ],
)
def test_any_other_answer_is_left_to_the_reader(data: bytes) -> None:
    assert read_whole(data) is None
