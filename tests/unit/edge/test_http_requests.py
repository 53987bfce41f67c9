"""Requests out of bytes: what is read, and everything two parsers could take for different requests, refused."""

import pytest

from entrepot.edge.http_requests import Refusal, Request, RequestLimits, RequestReader

LIMITS = RequestLimits(head_bytes=600, body_bytes=100)


def read(data: bytes, limits: RequestLimits = LIMITS) -> Request:
    request = RequestReader(limits).feed(data)
    assert request is not None
    return request


def head(*lines: str) -> bytes:
    return "\r\n".join(["POST /v1/x HTTP/1.1", "Host: gateway", *lines, "", ""]).encode()


def refused(data: bytes) -> int:
    """The status that data is refused with, which is the same when it comes byte by byte."""
    with pytest.raises(Refusal) as at_once:
        feed(data)
    with pytest.raises(Refusal) as in_pieces:
        feed(*(data[at : at + 1] for at in range(len(data))))
    assert at_once.value.status == in_pieces.value.status
    assert at_once.value.message.endswith(".")
    return at_once.value.status


def feed(*pieces: bytes) -> None:
    reader = RequestReader(LIMITS)
    for piece in pieces:
        reader.feed(piece)


def test_a_request_with_a_length() -> None:
    request = read(head("Authorization: Bearer  key ", "content-length: 5") + b"hello")
    assert (request.head.method, request.head.path, request.head.query) == (b"POST", b"/v1/x", b"")
    assert (request.head.credential.text, request.body, request.head.keep_alive) == (b"key", b"hello", True)


def test_a_request_in_chunks() -> None:
    assert read(head("Transfer-Encoding: Chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").body == b"abcde"


@pytest.mark.parametrize("target", ["http://gateway", "https://gateway", "HTTP://GateWay"])
def test_a_target_may_be_the_whole_address(target: str) -> None:
    whole = head("Authorization: Bearer key", "Content-Length: 5").replace(b" /v1/x", f" {target}/v1/x?a=/b".encode())
    reader = RequestReader(LIMITS)
    for request in (reader.feed(whole + b"hello"), reader.feed(whole + b"again")):
        assert request is not None
        assert (request.head.path, request.head.query) == (b"/v1/x", b"a=/b")
        assert request.head.credential.text == b"key"
    assert read(whole + b"hello").body == b"hello"


@pytest.mark.parametrize(
    "target", ["http://gateway:80", "http://gateway.", "ftp://gateway", "http://me@gateway", "//gateway"]
)
def test_the_whole_address_of_another_host_is_refused(target: str) -> None:
    data = f"POST {target}/v1/x HTTP/1.1\r\nHost: gateway\r\n\r\n".encode()
    if target == "//gateway":  # A path that nothing here has.
        assert read(data).head.path == b"//gateway/v1/x"
    else:
        assert refused(data) == 400


def test_a_request_without_a_body() -> None:
    request = read(b"GET /v1/models?a=b&c=%20 HTTP/1.1\r\nHost: x\r\napi-key: k\r\n\r\n")
    assert (request.head.path, request.head.query, request.head.credential.text, request.body) == (
        b"/v1/models",
        b"a=b&c=%20",
        b"k",
        b"",
    )


def test_requests_ahead_of_their_turn_are_read_one_by_one() -> None:
    reader = RequestReader(LIMITS)
    first = reader.feed(head("Content-Length: 1") + b"1" + head("Content-Length: 1") + b"2" + head())
    second, third = reader.feed(b""), reader.feed(b"")
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.body, second.body, third.body) == (b"1", b"2", b"")
    assert reader.feed(b"") is None
    assert not reader.has_begun


def test_what_comes_while_one_is_answered_is_kept() -> None:
    reader = RequestReader(LIMITS)
    reader.feed(head("Content-Length: 1") + b"1" + head()[:20])
    reader.keep(head()[20:])
    assert reader.waiting_bytes == len(head())
    request = reader.feed(b"")
    assert request is not None
    assert request.head.path == b"/v1/x"


@pytest.mark.parametrize(
    ("lines", "keep_alive"),
    [
        ((), True),
        (("Connection: close",), False),
        (("Connection: Keep-Alive, Close",), False),
        (("Connection: x",), True),
        (("Connection: TE", "TE: trailers", "connection: close"), False),
        (("Connection: TE", "Connection: x"), True),
    ],
)
def test_whether_the_connection_stays_open(lines: tuple[str, ...], keep_alive: bool) -> None:
    assert read(head(*lines)).head.keep_alive is keep_alive


def test_an_old_client_gets_one_answer_without_chunks() -> None:
    request = read(b"GET /healthz HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")
    assert (request.head.keep_alive, request.head.takes_chunks) == (False, False)
    assert not request.head.expects_continue  # It knows no answers before the answer.


def test_a_body_that_is_announced_is_pending_until_it_comes() -> None:
    reader = RequestReader(LIMITS)
    assert reader.feed(head("Expect: 100-continue", "Content-Length: 2")) is None
    assert reader.pending is not None
    assert reader.pending.expects_continue
    assert reader.feed(b"o") is None
    request = reader.feed(b"k")
    assert request is not None
    assert request.body == b"ok"
    assert reader.pending is None


def test_an_empty_line_before_a_request_is_read_over() -> None:
    assert read(b"\r\n\r\n" + head()).head.path == b"/v1/x"


@pytest.mark.parametrize(
    ("credential", "lines"),
    [
        (b"k", ("Authorization: bearer k",)),
        (b"k", ("AUTHORIZATION: BEARER k",)),
        (b"k", ("Api-Key: k", "Authorization: Bearer other")),
        (b"", ("Authorization: Basic k",)),
        (b"", ("Authorization: k",)),
        (b"", ()),
    ],
)
def test_the_credential(credential: bytes, lines: tuple[str, ...]) -> None:
    assert read(head(*lines)).head.credential.text == credential


SMUGGLED = {
    "length and coding": head("Content-Length: 3", "Transfer-Encoding: chunked"),
    "coding and length": head("Transfer-Encoding: chunked", "Content-Length: 3"),
    "two lengths": head("Content-Length: 3", "Content-Length: 4"),
    "the same length twice": head("Content-Length: 3", "content-length: 3"),
    "a list of lengths": head("Content-Length: 3, 3"),
    "a signed length": head("Content-Length: +3"),
    "a negative length": head("Content-Length: -3"),
    "a hexadecimal length": head("Content-Length: 0x3"),
    "a length with a comma": head("Content-Length: 1,0"),
    "a length of other digits": head("Content-Length: ٣"),
    "an empty length": head("Content-Length: "),
    "an endless length": head("Content-Length: " + "9" * 30),
    "two codings": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "a space before the colon": head("Content-Length : 3"),
    "a tab before the colon": head("Transfer-Encoding\t: chunked"),
    "a space before the name": head(" Content-Length: 3"),
    "a folded line": head("X: a", " b"),
    "a folded coding": head("Transfer-Encoding:", "\tchunked"),
    "a line without a colon": head("Content-Length"),
    "an empty name": head(": 3"),
    "a name with a letter beyond ASCII": head("Contént-Length: 3"),
    "a bare line feed": head("X: a\nContent-Length: 3"),
    "a bare carriage return": head("X: a\rContent-Length: 3"),
    "a zero byte": head("X: a\0b"),
    "an escape": head("X: a\x1bb"),
    "two hosts": head("Host: other"),
    "no host": b"POST /v1/x HTTP/1.1\r\n\r\n",
    "two keys": head("api-key: a", "api-key: b"),
    "two authorizations": head("Authorization: Bearer a", "Authorization: Bearer b"),
    "chunks from an old client": b"POST /v1/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a bad chunk size": head("Transfer-Encoding: chunked") + b"zz\r\n",
    "a chunk longer than its size": head("Transfer-Encoding: chunked") + b"1\r\nabc\r\n0\r\n\r\n",
    "a trailer that is none": head("Transfer-Encoding: chunked") + b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "no target": b"POST HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target with a space": b"POST /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "two spaces": b"POST  /v1/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab": b"POST\t/v1/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "an absolute target": b"POST http://other/v1/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target beyond ASCII": "POST /v1/é HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "no version": b"POST /v1/x\r\nHost: x\r\n\r\n",
    "a space before the method": b" POST /v1/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("data", SMUGGLED.values(), ids=SMUGGLED)
def test_what_could_be_read_in_two_ways_is_refused(data: bytes) -> None:
    assert refused(data) == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("Transfer-Encoding: gzip, chunked"), 501),
        (head("Transfer-Encoding: chunked;q=1"), 501),
        (head("Transfer-Encoding: identity"), 501),
        (head("Transfer-Encoding: "), 501),
        (head("Expect: 200-ok"), 417),
        (b"POST /v1/x HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"POST /v1/x HTTP/1.10\r\nHost: x\r\n\r\n", 505),
        (head("X: " + "a" * 600), 431),
        (b"POST /" + b"a" * 700, 431),
        (head("Content-Length: 101"), 413),
        (head("Transfer-Encoding: chunked") + b"40\r\n" + b"a" * 64 + b"\r\n40\r\n" + b"a" * 64, 413),
    ],
)
def test_what_is_not_taken_has_a_status_of_its_own(data: bytes, status: int) -> None:
    assert refused(data) == status
