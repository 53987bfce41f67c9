"""HTTP/1.1 requests out of a client's bytes, in whatever pieces they come, without any I/O.

Strict on purpose. Whatever two parsers could take for different requests is refused and the connection closed, since a
proxy in front of us may have taken it otherwise: lengths and codings together or twice, line ends other than CRLF,
folded lines, spaces around a field's name. Source: RFC 9112 sections 2.2, 3, 5 and 6.
"""

import re
from dataclasses import dataclass
from typing import Final

from entrepot.core.chunked_coding import BadChunk, ChunkedReader
from entrepot.core.identifiers import Credential
from entrepot.dialects.operations import OPERATIONS
from entrepot.edge import shortcuts
from entrepot.edge.request_marks import marks_of
from entrepot.edge.routes import Found

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(
    rb"(" + _TOKEN + rb") (/[!-~]*+) HTTP/1\.([01])(?:\r\n" + _TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*+)*+"
)
_ABSOLUTE = re.compile(rb"(" + _TOKEN + rb" )https?://([0-9A-Za-z.:_~%\[\]-]++)(?=/)", re.IGNORECASE)
_HOST = re.compile(rb"\r\nhost:[ \t]*+([^\r]*+)", re.IGNORECASE)
_OTHER_VERSION = re.compile(rb"[A-Z]+ [!-~]+ HTTP/(?!1\.[01]\r)[0-9]")
_READ = frozenset({
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"authorization",
    b"api-key",
    b"connection",
    b"expect",
})  # fmt: skip
_INITIALS = frozenset(b"aAcCeEhHtT")  # Of these, so that other lines need not be looked at.
_EMPTY_LINES = re.compile(rb"(?:\r\n)++")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_LENGTH_DIGITS_MAX = 15
_NO_FIELD = b""
_body_behind: Final = shortcuts.body_behind  # Bound once; see decisions/0009.


# The longest bodies, by how their paths end, where a limit of all others would be too little.
_UPLOADS = {row.path.encode(): row.body_bytes_max for row in OPERATIONS.values() if row.is_form}


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a client may send, in bytes. body_bytes: where the path has no limit of its own."""

    head_bytes: int = 32 * 1024
    body_bytes: int = 16 * 2**20

    def body_bytes_of(self, path: bytes) -> int:
        """The longest body for a path; for pictures and recordings it is more."""
        return max([self.body_bytes, *(limit for end, limit in _UPLOADS.items() if path.endswith(end))])


class Refusal(Exception):
    """Bytes that are no request we take; the connection is closed after the answer. path: where it is known already."""

    def __init__(self, status: int, message: str, path: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.path = path


class RequestHead:
    """What a head says. path as sent, not decoded; query without its question mark; text: all of the head, as sent.

    found: the route of the path, once it was looked for and the head was seen to suit it. marks: see request_marks.
    """

    __slots__ = (
        "credential", "expects_continue", "found", "keep_alive", "marks", "method", "path", "query", "takes_chunks",
        "text",
    )  # fmt: skip

    def __init__(self, match: re.Match[bytes], fields: dict[bytes, bytes]) -> None:
        self.method: bytes = match[1]
        target: tuple[bytes, bytes, bytes] = match[2].partition(b"?")
        self.path, _, self.query = target
        self.takes_chunks = match[3] == b"1"  # HTTP/1.0 knows neither chunks nor, here, connections that stay open.
        self.keep_alive = self.takes_chunks and fields.get(b"connection", _NO_FIELD).lower().find(b"close") < 0
        self.credential = Credential(fields.get(b"api-key") or _bearer(fields.get(b"authorization", _NO_FIELD)))
        self.expects_continue = self.takes_chunks and b"expect" in fields
        self.text = match.string
        self.found: Found | None = None
        self.marks = marks_of(match.string)

    def field(self, name: bytes) -> bytes:
        """The value of any field, or b""; looked for only now, since few requests are asked for it."""
        found = re.search(_line_of(name), self.text, re.IGNORECASE)
        return found[1].rstrip() if found else b""

    def words(self, name: bytes) -> set[bytes]:
        """The words of a field that is a list, of all its lines, in lower case."""
        lines = re.findall(_line_of(name), self.text, re.IGNORECASE)
        return {word.strip().lower() for word in b",".join(lines).split(b",")}


class Request:
    """One request. Requests of a client that repeats itself share their head."""

    __slots__ = ("body", "head")

    def __init__(self, head: RequestHead, body: bytes) -> None:
        self.head = head
        self.body = body


class RequestReader:
    """Reads the requests of one connection, one after the other.

    A client that keeps its connection open nearly always repeats its head to the letter, but for the length of the
    body. So the last head is remembered, cut in two where the digits of its length stand.
    """

    __slots__ = (
        "_after", "_before", "_body", "_chunks", "_data", "_last", "_left", "_limits", "_looked_at", "pending",
    )  # fmt: skip

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._data = b""  # What has come and is not taken yet,
        self._looked_at = 0  # and how much of it holds no end of a head.
        self.pending: RequestHead | None = None  # Of a request whose body is still to come.
        self._body = bytearray()
        self._left = 0
        self._chunks: ChunkedReader | None = None
        self._last: RequestHead | None = None  # With what is before and behind its length, the empty line included.
        self._before = self._after = b""

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
            return self._read_body(self.pending, data)
        if self._last is not None and not self._data:
            body = _body_behind(data, self._before, self._after)
            if body is not None and len(body) <= self._limits.body_bytes:
                return Request(self._last, body)
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
        text = data[:end]
        head = self._repeated(text) or self._read_head(text)
        end += 4
        body_end = end + self._left
        if self._chunks is None and len(data) >= body_end:  # The usual case: all of it is here.
            self._data = data[body_end:]
            return Request(head, data[end:body_end])
        self._data = b""
        self.pending = head
        return self._read_body(head, data[end:])

    def take_rest(self) -> bytes:
        """What was kept, and is no request any more."""
        rest, self._data = self._data, b""
        return rest

    def keep(self, data: bytes) -> None:
        """Keeps data that came while an earlier request is being answered."""
        self._data += data

    def _repeated(self, text: bytes) -> RequestHead | None:
        """The last head, if this is it again but for the length."""
        last = self._last
        after = self._after[:-4]
        if last is None or not text.startswith(self._before) or not text.endswith(after):
            return None
        length = text[len(self._before) : len(text) - len(after)]
        if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX:
            return None
        self._chunks = None
        self._left = left = int(length)
        if left > self._limits.body_bytes:
            self._check_size(last, left)
        return last

    def _read_head(self, text: bytes) -> RequestHead:
        match = _HEAD.fullmatch(text) or _HEAD.fullmatch(_in_origin_form(text))
        if match is None:
            if _OTHER_VERSION.match(text):
                raise Refusal(505, "Only HTTP/1.1 is spoken here.")
            raise Refusal(400, "The request's head is not HTTP/1.1.")
        fields = _fields_of(text)
        head = RequestHead(match, fields)
        if head.takes_chunks and b"host" not in fields:
            raise Refusal(400, "The Host header is missing.")
        if head.expects_continue and fields[b"expect"].lower() != b"100-continue":
            raise Refusal(417, "Nothing but 100-continue can be expected here.")
        length = fields.get(b"content-length")
        self._begin_body(head, length, fields.get(b"transfer-encoding"))
        self._last = None
        is_short = len(text) + _LENGTH_DIGITS_MAX <= self._limits.head_bytes
        if length is not None and is_short and not head.expects_continue:
            self._remember(head, length)
        return head

    def _remember(self, head: RequestHead, length: bytes) -> None:
        """Remembers a head by what stands before and behind its length."""
        line = head.text.lower().find(b"\r\ncontent-length:")
        digits = head.text.find(length, line + len(b"\r\ncontent-length:"))
        self._last = head
        self._before, self._after = head.text[:digits], head.text[digits + len(length) :] + b"\r\n\r\n"

    def _begin_body(self, head: RequestHead, length: bytes | None, coding: bytes | None) -> None:
        self._left = 0
        self._chunks = None
        if coding is not None:
            if length is not None or not head.takes_chunks:
                raise Refusal(400, "Transfer-Encoding goes neither with Content-Length nor with HTTP/1.0.")
            if coding.lower() != b"chunked":
                raise Refusal(501, "The only transfer coding known here is chunked.")
            self._chunks = ChunkedReader()
        elif length is not None:
            if _LENGTH.fullmatch(length) is None:
                raise Refusal(400, "Content-Length is not a number.")
            self._left = int(length)
            if self._left > self._limits.body_bytes:
                self._check_size(head, self._left)

    def _read_body(self, head: RequestHead, data: bytes) -> Request | None:
        if self._chunks is not None:
            complete = self._read_chunks(self._chunks, data, head)
        else:
            taken = data[: self._left]
            self._body += taken
            self._data = data[self._left :]
            self._left -= len(taken)
            complete = self._left == 0
        if not complete:
            return None
        body, self._body = self._body, bytearray()
        self.pending = None
        return Request(head, bytes(body))

    def _read_chunks(self, chunks: ChunkedReader, data: bytes, head: RequestHead) -> bool:
        """Whether the body is complete."""
        try:
            self._body += chunks.feed(data)
        except BadChunk as error:
            raise Refusal(400, f"The request's chunked body is broken: {error}.") from None
        if len(self._body) > self._limits.body_bytes:
            self._check_size(head, len(self._body))
        self._data = chunks.rest
        return chunks.complete

    def _check_size(self, head: RequestHead, size: int) -> None:
        limit = self._limits.body_bytes_of(head.path)
        if size > limit:
            raise Refusal(413, f"The request's body is larger than {limit} bytes.", head.path)


def _line_of(name: bytes) -> bytes:
    return rb"\r\n" + re.escape(name) + rb":[ \t]*+([^\r]*)"


def _in_origin_form(text: bytes) -> bytes:
    """The head with its target as a path, where it came as a whole address: of the host that Host names, no other.

    Clients write it so to a proxy; any server must take it. Source: RFC 9112 section 3.2.2.
    """
    target, host = _ABSOLUTE.match(text), _HOST.search(text)
    if target is None or host is None or target[2].lower() != host[1].rstrip().lower():
        return text
    return target[1] + text[target.end() :]


def _fields_of(text: bytes) -> dict[bytes, bytes]:
    """The fields of _READ in a head, by lower-case name. Connection is a list, and so may take several lines.

    Raises: Refusal for any other that is there twice.
    """
    fields: dict[bytes, bytes] = {}
    for line in text.split(b"\r\n")[1:]:
        if line[0] in _INITIALS:
            name, _, value = line.partition(b":")
            name = name.lower()
            if name in _READ:
                value = value.strip(b" \t")
                if name in fields:
                    if name != b"connection":
                        raise Refusal(400, "A header field was sent twice that may be sent only once.")
                    value = fields[name] + b"," + value
                fields[name] = value
    return fields


def _bearer(authorization: bytes) -> bytes:
    """The key or token of an Authorization field, or b""."""
    scheme, _, credential = authorization.partition(b" ")
    return credential.strip() if scheme.lower() == b"bearer" else b""
