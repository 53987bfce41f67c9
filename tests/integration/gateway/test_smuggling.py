"""Requests that two parsers could read differently, and bytes that would like to become header lines.

Each trick is either refused, and the connection closed, so that nothing behind it is ever read; or passed on as exactly
one message, as the upstream's own record of received bytes shows. Sources: RFC 9112 section 11.2 and the attacks
published since 2019 as HTTP desync, request tunnelling and header injection.
"""

import json
from collections.abc import Iterator

import h11
import pytest

from tests.support.gateway import KEY, UPSTREAM_KEY, Gateway, deployment, eventually, running_gateway, target
from tests.support.recording_upstream import RecordingUpstream, recording, whole
from tests.support.requests import ask, chat, read_to_end, read_until

BODY = chat("hi")
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: smuggled\r\n\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with running_gateway() as gateway:
        yield gateway


@pytest.fixture
def upstream(running: Gateway) -> Iterator[RecordingUpstream]:
    """What the deployments `chat` and `é b` are served by."""
    with recording(running) as upstream:
        running.serve(deployment("chat", target(upstream.base_url)), deployment("é b", target(upstream.base_url)))
        yield upstream


def request(*lines: str, body: bytes = b"", first: str = "POST /v1/chat/completions HTTP/1.1") -> bytes:
    head = [first, "Host: gateway", f"Authorization: Bearer {KEY}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def statuses_in(data: bytes) -> list[int]:
    found = []
    while data:
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(data)
        answer = connection.next_event()
        assert isinstance(answer, h11.Response)
        while isinstance(event := connection.next_event(), h11.Data):
            pass
        assert isinstance(event, h11.EndOfMessage)
        assert not any(name.startswith(b"x-evil") for name, _ in answer.headers)
        found.append(answer.status_code)
        data = connection.trailing_data[0]
    return found


REFUSED: dict[str, tuple[bytes, int]] = {
    # Length and coding
    "CL.TE": (request("Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG"), 400),
    "TE.CL": (request(CHUNKED, "Content-Length: 4", body=b"5c\r\nGPOST / HTTP/1.1\r\n0\r\n\r\n"), 400),
    "CL.CL": (request(LENGTH, "Content-Length: 0", body=BODY), 400),
    "the same CL twice": (request(LENGTH, LENGTH.lower(), body=BODY), 400),
    "a list of CL": (request(f"{LENGTH}, {len(BODY)}", body=BODY), 400),
    "CL +": (request("Content-Length: +5", body=b"hello"), 400),
    "CL -": (request("Content-Length: -5", body=b"hello"), 400),
    "CL hexadecimal": (request("Content-Length: 0x5", body=b"hello"), 400),
    "CL with an exponent": (request("Content-Length: 5e0", body=b"hello"), 400),
    "CL with an underscore": (request("Content-Length: 1_0", body=b"hello"), 400),
    "CL of two words": (request("Content-Length: 5 5", body=b"hello"), 400),
    "CL of other digits": (request("Content-Length: \xb2", body=b"hello"), 400),
    "CL beyond 64 bits": (request("Content-Length: 18446744073709551621", body=b"hello"), 400),
    "CL empty": (request("Content-Length:", body=b"hello"), 400),
    "CL with a space before the colon": (request("Content-Length : 5", body=b"hello"), 400),
    # Codings in disguise
    "TE.TE": (request(CHUNKED, "Transfer-Encoding: cow", body=b"0\r\n\r\n"), 400),
    "TE xchunked": (request("Transfer-Encoding: xchunked", body=CHUNKS), 501),
    "TE quoted": (request('Transfer-Encoding: "chunked"', body=CHUNKS), 501),
    "TE with more": (request("Transfer-Encoding: chunked, identity", body=CHUNKS), 501),
    "TE with less": (request("Transfer-Encoding: identity, chunked", body=CHUNKS), 501),
    "TE with a parameter": (request("Transfer-Encoding: chunked;q=1", body=CHUNKS), 501),
    "TE empty": (request("Transfer-Encoding:", body=CHUNKS), 501),
    "TE with a vertical tab": (request("Transfer-Encoding:\x0bchunked", body=CHUNKS), 400),
    "TE with a form feed": (request("Transfer-Encoding: chunked\x0c", body=CHUNKS), 400),
    "TE with a zero byte": (request("Transfer-Encoding: chunked\x00", body=CHUNKS), 400),
    "TE with a space before the colon": (request("Transfer-Encoding : chunked", body=CHUNKS), 400),
    "TE with a tab before the colon": (request("Transfer-Encoding\t: chunked", body=CHUNKS), 400),
    "TE behind a space": (request("X: y", " Transfer-Encoding: chunked", body=CHUNKS), 400),
    "TE folded": (request("Transfer-Encoding:", " chunked", body=CHUNKS), 400),
    "TE behind a bare LF": (request("X: y\nTransfer-Encoding: chunked", LENGTH, body=BODY), 400),
    "TE behind a bare CR": (request("X: y\rTransfer-Encoding: chunked", LENGTH, body=BODY), 400),
    "TE of HTTP/1.0": (request(CHUNKED, body=CHUNKS, first="POST /v1/chat/completions HTTP/1.0"), 400),
    # Chunks
    "a chunk size beyond 64 bits": (request(CHUNKED, body=b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk size with 0x": (request(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk size with a sign": (request(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n"), 400),
    "a negative chunk": (request(CHUNKED, body=b"-1\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk size with a space": (request(CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk size behind a space": (request(CHUNKED, body=b" 5\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk size with a bare LF": (request(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n"), 400),
    "a chunk's end with a bare LF": (request(CHUNKED, body=b"5\r\nhello\n0\r\n\r\n"), 400),
    "a chunk longer than it says": (request(CHUNKED, body=b"5\r\nhello!\r\n0\r\n\r\n"), 400),
    "a chunk shorter than it says": (request(CHUNKED, body=b"7\r\nhello\r\n0\r\n\r\n" + SMUGGLED), 400),
    "a last chunk with a bare LF": (request(CHUNKED, body=b"0\n\r\n"), 400),
    "an extension with a bare LF": (request(CHUNKED, body=b"5;a\nX\r\nhello\r\n0\r\n\r\n"), 400),
    "an extension that hides a chunk": (request(CHUNKED, body=b"5;\x00\r\nhello\r\n0\r\n\r\n"), 400),
    "a trailer that frames": (request(CHUNKED, body=b"0\r\nContent-Length: 50\r\n\r\n"), 400),
    "a trailer that codes": (request(CHUNKED, body=b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
    "a trailer that is a request": (request(CHUNKED, body=b"0\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"), 400),
    "a trailer that is folded": (request(CHUNKED, body=b"0\r\nX: y\r\n z\r\n\r\n"), 400),
    # Lines and names
    "lines that end with LF": (request(LENGTH, body=BODY).replace(b"\r\n", b"\n") + b"\r\n\r\n", 505),
    "a folded line": (request("X: y", "\tz", LENGTH, body=BODY), 400),
    "a space in a name": (request("X Y: z", LENGTH, body=BODY), 400),
    "a name without a value": (request("X", LENGTH, body=BODY), 400),
    "an empty name": (request(": x", LENGTH, body=BODY), 400),
    "a zero byte in a name": (request("X\x00: y", LENGTH, body=BODY), 400),
    "a zero byte in a value": (request("X: y\x00z", LENGTH, body=BODY), 400),
    "a first line that is folded": (b" " + request(LENGTH, body=BODY), 400),
    "two hosts": (request("Host: other", LENGTH, body=BODY), 400),
    "two keys": (request("Authorization: Bearer other", LENGTH, body=BODY), 400),
    "no host": (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
    # First lines
    "an absolute target": (request(LENGTH, body=BODY, first="POST http://other/v1/chat/completions HTTP/1.1"), 400),
    "CONNECT": (request(first="CONNECT other:443 HTTP/1.1") + SMUGGLED, 400),
    "OPTIONS *": (request(first="OPTIONS * HTTP/1.1") + SMUGGLED, 400),
    "a target with a space": (request(LENGTH, body=BODY, first="POST /v1/chat completions HTTP/1.1"), 400),
    "a target with a tab": (request(LENGTH, body=BODY, first="POST\t/v1/chat/completions HTTP/1.1"), 400),
    "a target beyond ASCII": (request(LENGTH, body=BODY, first="POST /v1/ch\xe4t HTTP/1.1"), 400),
    "two spaces": (request(LENGTH, body=BODY, first="POST  /v1/chat/completions HTTP/1.1"), 400),
    "a space behind the version": (request(LENGTH, body=BODY, first="POST /v1/chat/completions HTTP/1.1 "), 505),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "HTTP/1.2": (request(LENGTH, body=BODY, first="POST /v1/chat/completions HTTP/1.2"), 505),
    "HTTP/11": (request(LENGTH, body=BODY, first="POST /v1/chat/completions HTTP/11"), 505),
    "http/1.1": (request(LENGTH, body=BODY, first="POST /v1/chat/completions http/1.1"), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a method with a colon": (request(LENGTH, body=BODY, first="POST: /v1/chat/completions HTTP/1.1"), 400),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_nothing_behind_it_is_read(running: Gateway, upstream: RecordingUpstream, name: str) -> None:
    sent, status = REFUSED[name]
    for data in (sent, sent + SMUGGLED):
        with running.connect() as client:
            client.sendall(data)
            assert statuses_in(read_to_end(client)) == [status]
    assert upstream.received == b""


PASSED = {
    "CL with zeros": request(f"Content-Length: 000{len(BODY)}", body=BODY),
    "CL with spaces around it": request(f"Content-Length:  \t{len(BODY)} \t", body=BODY),
    "chunks": request(CHUNKED, body=CHUNKS),
    "chunks in capitals": request("TRANSFER-ENCODING: Chunked", body=CHUNKS[:2].upper() + CHUNKS[2:]),
    "a chunk size with zeros": request(CHUNKED, body=b"0000" + CHUNKS),
    "an extension": request(CHUNKED, body=CHUNKS.replace(b"\r\n", b';a="b;c"\r\n', 1)),
    "a trailer": request(CHUNKED, body=CHUNKS[:-2] + b"X-Evil: 1\r\nHost: smuggled\r\n\r\n"),
    "a field that is nearly a coding": request("Transfer_Encoding: chunked", "X-TE: chunked", LENGTH, body=BODY),
    "a coding of the content": request("Content-Encoding: chunked", LENGTH, body=BODY),
    "empty lines before it": b"\r\n\r\n" + request(LENGTH, body=BODY),
    "an offer of h2c": request("Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAM", LENGTH, body=BODY),
    "an offer of WebSocket": request("Connection: Upgrade", "Upgrade: websocket", LENGTH, body=BODY),
    "a connection that names other fields": request("Connection: Content-Length, Authorization", LENGTH, body=BODY),
    "bytes beyond ASCII in a value": request("X: \xe9\xff", LENGTH, body=BODY),
    "a body that looks like a request": request(LENGTH, body=BODY),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSED)
def test_it_is_passed_on_as_exactly_one_message(running: Gateway, upstream: RecordingUpstream, name: str) -> None:
    with running.connect() as client:
        client.sendall(PASSED[name])
        read = read_until(client, b'"total_tokens":2}}')
    assert statuses_in(read) == [200]
    [(method, path, fields, body)] = upstream.messages
    assert (method, path, json.loads(body)["messages"]) == (
        "POST",
        "/v1/chat/completions",
        json.loads(BODY)["messages"],
    )
    assert fields.keys() == {
        "host", "authorization", "user-agent", "accept", "accept-encoding", "content-type", "x-request-id",
        "content-length",
    }  # fmt: skip
    assert fields["authorization"] == f"Bearer {UPSTREAM_KEY}"


def test_a_request_behind_another_is_one_of_its_own(running: Gateway, upstream: RecordingUpstream) -> None:
    with running.connect() as client:
        client.sendall(request(CHUNKED, body=CHUNKS) + request("Connection: close", first="GET /healthz HTTP/1.1"))
        assert statuses_in(read_to_end(client)) == [200, 200]
    assert len(upstream.messages) == 1


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("TRACE /v1/chat/completions HTTP/1.1", 405),
        ("TRACE /healthz HTTP/1.1", 405),
        ("CONNECT /v1/chat/completions HTTP/1.1", 405),
        ("POST //other/v1/chat/completions HTTP/1.1", 404),
        ("POST /v1/../v1/chat/completions HTTP/1.1", 404),
        ("POST /v1/chat/completions/ HTTP/1.1", 404),
        ("POST /v1/%63hat/completions HTTP/1.1", 404),
        ("POST /v1/chat/completions#/healthz HTTP/1.1", 404),
        ("POST /v1\\chat\\completions HTTP/1.1", 404),
        ("POST /openai/deployments/chat%0d%0aX-Evil:%201/chat/completions?api-version=2024-10-21 HTTP/1.1", 404),
        ("POST /openai/deployments/chat%00/chat/completions?api-version=2024-10-21 HTTP/1.1", 404),
        ("POST /openai/deployments/%E9/chat/completions?api-version=2024-10-21 HTTP/1.1", 404),
        ("POST /openai/deployments/chat%2F..%2Fchat/chat/completions?api-version=2024-10-21 HTTP/1.1", 404),
        ("POST /openai/deployments/chat/chat/completions?api-version=2024-10-21%0d%0aX-Evil:1 HTTP/1.1", 404),
    ],
)
def test_a_path_is_matched_as_it_was_sent(
    running: Gateway, upstream: RecordingUpstream, first: str, status: int
) -> None:
    with running.connect() as client:
        client.sendall(request(LENGTH, "Connection: close", first=first, body=BODY))
        read = read_to_end(client)
    assert statuses_in(read) == [status]
    assert KEY.encode() not in read  # As TRACE would give it back.
    assert upstream.received == b""


def test_a_deployments_name_goes_back_as_it_came(running: Gateway, upstream: RecordingUpstream) -> None:
    path = "/openai/deployments/%C3%A9%20b/chat/completions?api-version=2024-10-21"
    reply = ask(running, BODY, path=path)
    assert (reply.status, reply.headers["x-ms-deployment-name"]) == (200, "%C3%A9%20b")
    assert len(upstream.messages) == 1


@pytest.mark.parametrize("name", ["x-ms-client-request-id", "x-client-request-id", "x-request-id", "traceparent"])
@pytest.mark.parametrize("value", ["a b", "a\xe9", "a\tX-Evil: 1", "x" * 5000, "%0d%0aX-Evil: 1", ""])
def test_what_a_client_calls_its_request_is_given_back_only_if_it_is_plain(
    running: Gateway, upstream: RecordingUpstream, name: str, value: str
) -> None:
    with running.connect() as client:
        client.sendall(request(f"{name}: {value}", LENGTH, "Connection: close", body=BODY))
        read = read_to_end(client)
    assert statuses_in(read) == [200]
    assert b"a\xe9" not in read
    assert len(upstream.messages) == 1


@pytest.mark.parametrize("model", ["chat\r\nX-Evil: 1", "chat\x00", "chat\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "é\ud83d"])
def test_a_models_name_stays_in_the_body(running: Gateway, upstream: RecordingUpstream, model: str) -> None:
    body = json.dumps({"model": model, "messages": []}).encode()
    with running.connect() as client:
        client.sendall(request(f"Content-Length: {len(body)}", "Connection: close", body=body))
        read = read_to_end(client)
    assert statuses_in(read)[0] in {400, 404}
    assert upstream.received == b""


ERROR = json.dumps({"error": {"message": "a\r\nX-Evil: 1", "type": "b\r\n", "code": "c\r\nX-Evil: 1"}}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        whole(ERROR, b"X-Evil: 1", status=b"429 Too\tMany"),
        whole(ERROR, b"Retry-After: 1\x0bX-Evil: 1", status=b"429 x"),
        whole(ERROR, b"Retry-After: \xb2", status=b"429 x"),
        whole(ERROR, b"Retry-After: 1\nX-Evil: 1", status=b"429 x"),
        whole(ERROR, b"Retry-After: 1\r\n X-Evil: 1", status=b"503 x"),
        whole(ERROR, b"Content-Type: text/html\r\nX-Evil: 1", status=b"400 \xff\xfe"),
        whole(b'{"error":"a\\r\\nX-Evil: 1"}', status=b"400 "),
        whole(b"X-Evil: 1\r\n\r\n", status=b"500 x"),
    ],
)
def test_nothing_of_an_upstreams_error_becomes_a_header(running: Gateway, answer: bytes) -> None:
    with recording(running, answer) as upstream, running.connect() as client:
        running.serve(deployment("chat", target(upstream.base_url)))
        client.sendall(request(LENGTH, "Connection: close", body=BODY))
        [status] = statuses_in(read_to_end(client))
    assert status in {400, 429, 500, 502, 503}


@pytest.mark.parametrize(
    "answer",
    [
        whole() + whole(b'{"evil":1}'),
        whole() + b"HTTP/1.1 200 OK\r\n",
        whole(b"", b"Content-Length: 3"),
        whole(b"", b"Content-Length:3"),
        whole(b"", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + whole(b'{"evil":1}'),
        whole(b"", b"Transfer-Encoding : chunked") + whole(b'{"evil":1}'),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + whole(b'{"evil":1}'),
        b"HTTP/1.1 204 No Content\r\n\r\n" + whole(b'{"evil":1}'),
        whole().replace(b"\r\n\r\n", b"\r\n\r\n\r\n"),
    ],
)
def test_what_an_upstream_says_too_much_is_no_answer_to_the_next_request(running: Gateway, answer: bytes) -> None:
    with recording(running, answer) as upstream:
        running.serve(deployment("chat", target(upstream.base_url)))
        first, second = ask(running, BODY), ask(running, BODY)
        assert b"evil" not in first.body
        assert (second.status, b'"w1"' in second.body) == (200, True)
        eventually(lambda: len(upstream.messages) == 2)
