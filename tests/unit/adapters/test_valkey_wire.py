"""Valkey's wire format, and how a server is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.adapters.valkey.client import parse_server
from entrepot.adapters.valkey.wire import BadReply, Reply, ReplyReader, ServerError, command


def test_a_command_names_the_length_of_each_word() -> None:
    assert command(b"SET", b"a\r\n", b"") == b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n"


REPLIES: list[tuple[bytes, Reply]] = [
    (b"+OK\r\n", b"OK"),
    (b"-ERR no\r\n", ServerError("ERR no")),
    (b":-42\r\n", -42),
    (b"$-1\r\n", None),
    (b"$0\r\n\r\n", b""),
    (b"$5\r\n\r\n$1\r\r\n", b"\r\n$1\r"),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*3\r\n:1\r\n*1\r\n$1\r\nx\r\n$-1\r\n", [1, [b"x"], None]),
]


@given(st.lists(st.sampled_from(REPLIES), max_size=20), st.data())
def test_replies_are_read_however_they_are_cut(replies: list[tuple[bytes, Reply]], data: st.DataObject) -> None:
    text = b"".join(wire for wire, _ in replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    reader = ReplyReader()
    found: list[Reply] = []
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += reader.feed(text[begin:end])
    assert found == [reply for _, reply in replies]


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400\r\n", b"$x\r\n", b"$1\r\nxyz", b"x" * 70_000, b"$99999999999\r\n"])
def test_what_is_no_reply_is_noticed(noise: bytes) -> None:
    with pytest.raises(BadReply):
        ReplyReader().feed(noise)


def test_how_a_server_is_named() -> None:
    server = parse_server("valkey://:p%40ss@cache.example:6380/2")
    assert (server.host, server.port, server.tls, server.name) == ("cache.example", 6380, False, "cache.example:6380")
    assert server.greetings == ((b"AUTH", b"p@ss"), (b"SELECT", b"2"))
    server = parse_server("rediss://app:pw@[::1]")
    assert (server.host, server.port, server.tls) == ("::1", 6379, True)
    assert server.greetings == ((b"AUTH", b"app", b"pw"),)
    server = parse_server("unix:///run/v.sock?db=1")
    assert (server.path, server.greetings) == ("/run/v.sock", ((b"SELECT", b"1"),))


@pytest.mark.parametrize("url", ["localhost:6379", "http://x", "valkey://", "valkey://h/db", "unix://", "valkey://h:x"])
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|Port"):
        _ = parse_server(url).port
