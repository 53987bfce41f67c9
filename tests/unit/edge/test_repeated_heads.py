"""A client that repeats its head: what is read of it is what reading it anew would bring."""

import pytest

from entrepot.edge.http_requests import Refusal, Request, RequestLimits, RequestReader

SAID = ("expects_continue", "found", "keep_alive", "method", "path", "query", "takes_chunks")
FIELDS = b"Host: here\r\nAuthorization: Bearer one\r\nContent-Length: %d\r\nUser-Agent: a\r\n"
HEAD = b"POST /v1/chat/completions?a=b HTTP/1.1\r\n" + FIELDS


def request(body: bytes, head: bytes = HEAD) -> bytes:
    return head % len(body) + b"\r\n" + body


def facts(read: Request | None) -> dict[str, object]:
    assert read is not None
    said = {name: getattr(read.head, name) for name in SAID}
    return {"body": read.body, "credential": read.head.credential.text, **said}


def anew(data: bytes) -> dict[str, object]:
    """What a reader that never saw a head reads."""
    return facts(RequestReader(RequestLimits()).feed(data))


def test_the_same_head_with_other_lengths() -> None:
    reader = RequestReader(RequestLimits())
    for body in (b"abc", b"", b"x" * 70_000, b"abc"):
        assert facts(reader.feed(request(body))) == anew(request(body))


@pytest.mark.parametrize(
    "other",
    [
        HEAD.replace(b"Bearer one", b"Bearer two"),
        HEAD.replace(b"chat/completions", b"embeddings"),
        HEAD.replace(b"?a=b", b""),
        HEAD.replace(b"User-Agent: a", b"Connection: close"),
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_another_head_is_read_anew(other: bytes) -> None:
    reader = RequestReader(RequestLimits())
    for head in (HEAD, other, HEAD):
        assert facts(reader.feed(request(b"body", head))) == anew(request(b"body", head))


@pytest.mark.parametrize("length", [b"", b"+1", b"1 1", b"0x1", b"1" * 16, b"1\r\nTransfer-Encoding: chunked"])
def test_a_length_that_was_refused_at_first_is_refused_when_all_else_repeats(length: bytes) -> None:
    reader = RequestReader(RequestLimits())
    reader.feed(request(b"abc"))
    with pytest.raises(Refusal) as refused:
        reader.feed(HEAD.replace(b"%d", length) + b"\r\nabc")
    assert refused.value.status == 400


def test_a_repeated_head_does_not_escape_the_size_limit() -> None:
    reader = RequestReader(RequestLimits(body_bytes=10))
    reader.feed(request(b"abc"))
    with pytest.raises(Refusal) as refused:
        reader.feed(request(b"x" * 11))
    assert refused.value.status == 413


@pytest.mark.parametrize("line", [b"CONTENT-LENGTH:%d", b"content-length: \t %d  ", b"X: 3\r\nContent-Length: %d"])
def test_a_length_is_found_however_it_is_written(line: bytes) -> None:
    head = b"POST /v1/3/3 HTTP/1.1\r\nHost: 3\r\n" + line + b"\r\nX-Content-Length: 3\r\n"
    reader = RequestReader(RequestLimits())
    for body in (b"abc", b"x" * 30, b""):
        assert facts(reader.feed(request(body, head))) == anew(request(body, head))


def test_requests_do_not_share_what_changes() -> None:
    reader = RequestReader(RequestLimits())
    first, second = reader.feed(request(b"one")), reader.feed(request(b"three"))
    assert first is not None
    assert second is not None
    assert (first.body, second.body) == (b"one", b"three")
