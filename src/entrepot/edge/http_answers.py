"""HTTP/1.1 answers to clients as bytes."""

from http import HTTPStatus

JSON = b"application/json"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
EVENTS = b"text/event-stream; charset=utf-8"

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"Connection: close\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def whole_head(status: int, media_type: bytes, length: int, fields: bytes) -> bytes:
    """The head of an answer whose length is known. fields: header lines, each with its CRLF."""
    return b"%bContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n" % (_status_line(status), media_type, length, fields)


def stream_head(fields: bytes, *, chunked: bool) -> bytes:
    """The head of an event stream; without chunks it ends with its connection."""
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else CLOSE
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nCache-Control: no-cache\r\n%b%b\r\n" % (EVENTS, framing, fields)


def chunk(payload: bytes) -> bytes:
    """A payload, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _status_line(status: int) -> bytes:
    """The status line; an upstream's unusual status has no phrase."""
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()
