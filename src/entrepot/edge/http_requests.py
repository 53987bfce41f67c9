"""HTTP/1.1 requests out of a client's bytes, in whatever pieces they come, without any I/O.

Strict on purpose. Whatever two parsers could take for different requests is refused and the connection closed, since a
proxy in front of us may have taken it otherwise: lengths and codings together or twice, line ends other than CRLF,
folded lines, spaces around a field's name. Source: RFC 9112 sections 2.2, 3, 5 and 6.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from entrepot.core.chunked_coding import BadChunk, ChunkedReader

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(
    rb"(" + _TOKEN + rb") (/[!-~]*+) HTTP/1\.([01])(?:\r\n" + _TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*+)*+"
)
_OTHER_VERSION = re.compile(rb"[A-Z]+ [!-~]+ HTTP/(?!1\.[01]\r)[0-9]")
_FIELD = re.compile(
    rb"\r\n(host|content-length|transfer-encoding|authorization|api-key|connection|expect):[ \t]*+([^\r]*)",
    re.IGNORECASE,
)
_EMPTY_LINES = re.compile(rb"(?:\r\n)++")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_LENGTH_DIGITS_MAX = 15
_LENGTH_FIELD = re.compile(rb"\r\ncontent-length:[ \t]*+([0-9]{1,15})(?=\r|\Z)", re.IGNORECASE)
_NO_FIELD = b""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a client may send, in bytes."""

    head_bytes: int = 32 * 1024
    body_bytes: int = 16 * 2**20


class Refusal(Exception):
    """Bytes that are no request we take; the connection is closed after the answer. path: where it is known already."""

    def __init__(self, status: int, message: str, path: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.path = path


class Request:
    """One request. path as sent, not decoded; query without its question mark; credential: key or token, or b"".

    head: all of it, as sent.
    """

    __slots__ = (
        "body", "credential", "expects_continue", "head", "keep_alive", "method", "path", "query", "takes_chunks",
    )  # fmt: skip

    def __init__(self, match: re.Match[bytes], fields: dict[bytes, bytes]) -> None:
        self.method: bytes = match[1]
        target: tuple[bytes, bytes, bytes] = match[2].partition(b"?")
        self.path, _, self.query = target
        self.takes_chunks = match[3] == b"1"  # HTTP/1.0 knows neither chunks nor, here, connections that stay open.
        connection = fields.get(b"connection", _NO_FIELD)
        self.keep_alive = self.takes_chunks and (not connection or b"close" not in connection.lower())
        self.credential = fields.get(b"api-key") or _bearer(fields.get(b"authorization", _NO_FIELD))
        self.expects_continue = b"expect" in fields
        self.body = b""
        self.head = match.string

    def again(self, head: bytes) -> "Request":
        """Another request with a head that says the same."""
        request = Request.__new__(Request)
        request.method = self.method
        request.path = self.path
        request.query = self.query
        request.takes_chunks = self.takes_chunks
        request.keep_alive = self.keep_alive
        request.credential = self.credential
        request.expects_continue = self.expects_continue
        request.body = b""
        request.head = head
        return request

    def field(self, name: bytes) -> bytes:
        """The value of any field of the head, or b""; looked for only now, since few requests are asked for it."""
        found = re.search(rb"\r\n" + re.escape(name) + rb":[ \t]*+([^\r]*)", self.head, re.IGNORECASE)
        return found[1].rstrip() if found else b""


class _LastHead(NamedTuple):
    """A head that was read, without the digits of its Content-Length, and what it said.

    A client that keeps its connection open nearly always repeats its head to the letter, but for the length.
    """

    before: bytes
    after: bytes
    request: Request


class RequestReader:
    """Reads the requests of one connection, one after the other."""

    __slots__ = ("_body", "_chunks", "_data", "_last", "_left", "_limits", "_looked_at", "pending")

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._data = b""  # What has come and is not taken yet,
        self._looked_at = 0  # and how much of it holds no end of a head.
        self.pending: Request | None = None  # A request whose body is still to come.
        self._body = bytearray()
        self._left = 0
        self._chunks: ChunkedReader | None = None
        self._last: _LastHead | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a part of the next request has come."""
        return self.pending is not None or bool(self._data)

    @property
    def waiting_bytes(self) -> int:
        """How much has come that was not looked at yet."""
        return len(self._data)

    def feed(self, data: bytes) -> Request | None:
        """The next request, if it is whole now; what follows it is kept. Raises: Refusal."""
        if self.pending is not None:
            return self._read_body(data)
        start, self._looked_at = self._looked_at, 0
        if self._data:
            data = self._data + data
        if data.startswith(b"\r\n") and (empty := _EMPTY_LINES.match(data)):  # Some clients end a body with one.
            start, data = 0, data[empty.end() :]
        end = data.find(b"\r\n\r\n", start)
        if end < 0 or end > self._limits.head_bytes:
            if len(data) > self._limits.head_bytes:
                raise Refusal(431, f"The request's head is longer than {self._limits.head_bytes} bytes.")
            self._data = data
            self._looked_at = max(0, len(data) - 3)
            return None
        head = data[:end]
        request = self._repeated(head) or self._begin(head)
        self._data = b""
        if self._chunks is None and len(data) >= end + 4 + self._left:  # The usual case: all of it is here.
            body_end = end + 4 + self._left
            request.body = data[end + 4 : body_end]
            self._data = data[body_end:]
            return request
        self.pending = request
        return self._read_body(data[end + 4 :])

    def keep(self, data: bytes) -> None:
        """Keeps data that came while an earlier request is being answered."""
        self._data += data

    def _repeated(self, head: bytes) -> Request | None:
        """The request of a head that was read before, if this is it again."""
        last = self._last
        if last is None or not head.startswith(last.before) or not head.endswith(last.after):
            return None
        length = head[len(last.before) : len(head) - len(last.after)]
        if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX:
            return None
        self._chunks = None
        self._left = int(length)
        self._check_size(self._left, last.request)
        return last.request.again(head)

    def _remember(self, head: bytes, request: Request) -> None:
        match = _LENGTH_FIELD.search(head)
        if match is not None and not request.expects_continue:
            self._last = _LastHead(head[: match.start(1)], head[match.end(1) :], request.again(head))

    def _begin(self, head: bytes) -> Request:
        match = _HEAD.fullmatch(head)
        if match is None:
            if _OTHER_VERSION.match(head):
                raise Refusal(505, "Only HTTP/1.1 is spoken here.")
            raise Refusal(400, "The request's head is not HTTP/1.1.")
        found = _FIELD.findall(head)
        fields = {name.lower(): value.rstrip() for name, value in found}
        if len(fields) != len(found):
            raise Refusal(400, "A header field was sent twice that may be sent only once.")
        request = Request(match, fields)
        if request.takes_chunks and b"host" not in fields:
            raise Refusal(400, "The Host header is missing.")
        if request.expects_continue and fields[b"expect"].lower() != b"100-continue":
            raise Refusal(417, "Nothing but 100-continue can be expected here.")
        self._begin_body(request, fields.get(b"content-length"), fields.get(b"transfer-encoding"))
        self._remember(head, request)
        return request

    def _begin_body(self, request: Request, length: bytes | None, coding: bytes | None) -> None:
        self._left = 0
        self._chunks = None
        if coding is not None:
            if length is not None or not request.takes_chunks:
                raise Refusal(400, "Transfer-Encoding goes neither with Content-Length nor with HTTP/1.0.")
            if coding.lower() != b"chunked":
                raise Refusal(501, "The only transfer coding known here is chunked.")
            self._chunks = ChunkedReader()
        elif length is not None:
            if _LENGTH.fullmatch(length) is None:
                raise Refusal(400, "Content-Length is not a number.")
            self._left = int(length)
            self._check_size(self._left, request)

    def _read_body(self, data: bytes) -> Request | None:
        request = self.pending
        assert request is not None
        if self._chunks is not None:
            complete = self._read_chunks(self._chunks, data, request)
        else:
            taken = data[: self._left]
            self._body += taken
            self._data = data[self._left :]
            self._left -= len(taken)
            complete = self._left == 0
        if not complete:
            return None
        request.body = bytes(self._body)
        self.pending = None
        self._body = bytearray()
        return request

    def _read_chunks(self, chunks: ChunkedReader, data: bytes, request: Request) -> bool:
        """Whether the body is complete."""
        try:
            payload = chunks.feed(data)
        except BadChunk as error:
            raise Refusal(400, f"The request's chunked body is broken: {error}.") from None
        self._body += payload
        self._check_size(len(self._body), request)
        self._data = chunks.rest
        return chunks.complete

    def _check_size(self, size: int, request: Request) -> None:
        if size > self._limits.body_bytes:
            raise Refusal(413, f"The request's body is larger than {self._limits.body_bytes} bytes.", request.path)


def _bearer(authorization: bytes) -> bytes:
    """The key or token of an Authorization field, or b""."""
    scheme, _, credential = authorization.partition(b" ")
    return credential.strip() if scheme.lower() == b"bearer" else b""
