"""HTTP/1.1 answers to clients as text and bytes. Fields are header lines, each with its CRLF."""

from http import HTTPStatus
from typing import Final

from entrepot.edge import shortcuts

JSON: Final = "application/json"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
EVENTS = "text/event-stream; charset=utf-8"

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE: Final = "Connection: close\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_answer_of: Final = shortcuts.answer_of  # Bound once; see decisions/0009.
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}
_GOOD: Final = _STATUS_LINES[200]


def whole_head(status: int, media_type: str, length: int, fields: str) -> bytes:
    """The head of an answer whose length is known."""
    line = _status_line(status)
    return f"{line}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n{fields}\r\n".encode("latin-1")


def own_fields(request_id: str, took_ms: int) -> str:
    """What every answer says of its request."""
    return f"x-request-id: {request_id}\r\napim-request-id: {request_id}\r\nopenai-processing-ms: {took_ms}\r\n"


def whole_answer(status: int, media_type: str, fields: str, request_id: str, took_ms: int, body: bytes) -> bytes:
    """An answer whose length is known, with what every answer says of its request behind the fields."""
    answer = _answer_of(_status_line(status), media_type, fields, request_id, took_ms, body)
    if answer is None:
        answer = whole_head(status, media_type, len(body), fields + own_fields(request_id, took_ms)) + body
    return answer


def stream_head(fields: str, *, chunked: bool, media_type: str = "") -> bytes:
    """The head of an event stream, or of a stream of another media type; without chunks it ends with its connection."""
    framing = "Transfer-Encoding: chunked\r\n" if chunked else CLOSE
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {media_type or EVENTS}\r\nCache-Control: no-cache\r\n{framing}{fields}\r\n"
    ).encode("latin-1")


def _status_line(status: int) -> str:
    """The status line; an upstream's unusual status has no phrase."""
    if status == 200:
        return _GOOD
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} "


def chunk(payload: bytes) -> bytes:
    """A payload, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)
