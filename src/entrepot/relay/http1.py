"""HTTP/1.1 answers out of an upstream's bytes, in whatever pieces they come, without any I/O.

An answer's body ends by its Content-Length, by its last chunk, or with the connection. Source: RFC 9112 section 6.
Requests of clients, the other side of HTTP, are read in edge/http_requests.py.
"""

import re

from entrepot.core.chunked_coding import BadChunk, ChunkedReader

HEAD_BYTES_MAX = 64 * 1024
_UNTIL_CLOSE = -1

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])[ \r]")
_READ = frozenset({
    b"content-length",
    b"content-type",
    b"transfer-encoding",
    b"content-encoding",
    b"connection",
    b"retry-after",
})  # fmt: skip
_INITIALS = frozenset(b"cCtTrR")  # Of these, so that most lines need not be looked at.


class BrokenAnswer(Exception):
    """What came from the upstream is not an HTTP/1.1 answer; the text says why."""


class AnswerHead:
    """The parts of an answer's head that matter here; field values as sent, media_type in lower case."""

    __slots__ = ("fields", "keep_alive", "media_type", "status")

    def __init__(self, status: int, fields: dict[bytes, bytes], keep_alive: bool) -> None:
        self.status = status
        self.fields = fields
        self.keep_alive = keep_alive
        self.media_type = fields.get(b"content-type", b"").partition(b";")[0].rstrip().lower()


class AnswerReader:
    """Reads one answer: feed it, look at head and complete. Reset it for the next answer of the same connection."""

    __slots__ = ("_kept", "_left", "chunks", "complete", "head")

    def __init__(self) -> None:
        self.head: AnswerHead | None = None
        self.complete = False
        self._kept = b""  # A head that is not whole yet.
        self._left = 0  # Bytes of body still to come, where its length is known.
        self.chunks: ChunkedReader | None = None  # Of an answer that comes in chunks.

    def reset(self) -> None:
        """Forgets the answer that was read."""
        self.head = None
        self.complete = False
        self._kept = b""
        self._left = 0
        self.chunks = None

    @property
    def has_begun(self) -> bool:
        """Whether any byte of the answer has come."""
        return self.head is not None or bool(self._kept)

    def feed(self, data: bytes) -> bytes:
        """The payload in data, unchunked; may be empty. Raises: BrokenAnswer."""
        if self.head is None:
            data = self._read_head(data)
            if self.head is None:
                return b""
        if self.complete:
            if data:
                raise BrokenAnswer("bytes after its end")
            return b""
        if self.chunks is not None:
            return self._read_chunks(self.chunks, data)
        if self._left == _UNTIL_CLOSE:
            return data
        self._left -= len(data)
        if self._left <= 0:
            if self._left < 0:
                raise BrokenAnswer("more bytes than its Content-Length")
            self.complete = True
        return data

    def end_of_input(self) -> bool:
        """Whether the answer is complete now that its connection ended in an orderly way."""
        if self.head is not None and self._left == _UNTIL_CLOSE:
            self.complete = True
        return self.complete

    def _read_head(self, data: bytes) -> bytes:
        """What follows the head; sets self.head once it is whole. Interim answers (1xx) are skipped."""
        if self._kept:
            data = self._kept + data
            self._kept = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > HEAD_BYTES_MAX:
                    raise BrokenAnswer("the head is too long")
                self._kept = data
                return b""
            match = _STATUS_LINE.match(data)
            if match is None:
                raise BrokenAnswer("not an HTTP/1.1 head")
            status = int(match[2])
            if status >= 200:
                self._begin_body(status, _fields_of(data[:end]), is_http11=match[1] == b"1")
                return data[end + 4 :]
            data = data[end + 4 :]

    def _begin_body(self, status: int, fields: dict[bytes, bytes], *, is_http11: bool) -> None:
        keep_alive = is_http11
        connection = fields.get(b"connection")
        if connection is not None:
            connection = connection.lower()  # find, for `in` takes many times as long on bytes.
            keep_alive = connection.find(b"close") < 0 if is_http11 else connection.find(b"keep-alive") >= 0
        coding = fields.get(b"transfer-encoding")
        length = fields.get(b"content-length")
        if coding:
            if coding.lower() != b"chunked":
                raise BrokenAnswer("a transfer coding other than chunked")
            keep_alive = keep_alive and length is None
            self.chunks = ChunkedReader()
        elif status in {204, 304}:
            self.complete = True
        elif length is None:
            keep_alive = False
            self._left = _UNTIL_CLOSE
        elif length.isdigit():
            self._left = int(length)
            self.complete = self._left == 0
        else:
            raise BrokenAnswer("a Content-Length that is not a number")
        self.head = AnswerHead(status, fields, keep_alive)

    def _read_chunks(self, chunks: ChunkedReader, data: bytes) -> bytes:
        try:
            payload = chunks.feed(data)
        except BadChunk as error:
            raise BrokenAnswer(str(error)) from None
        if chunks.complete:
            if chunks.rest:
                raise BrokenAnswer("bytes after its end")
            self.complete = True
        return payload


def _fields_of(head: bytes) -> dict[bytes, bytes]:
    """The fields of _READ in a head, by lower-case name. Raises: BrokenAnswer for lines or lengths that cannot be."""
    lines = head.split(b"\r\n")
    if head.count(b"\n") != len(lines) - 1 or head.find(b"\0") >= 0:
        raise BrokenAnswer("not an HTTP/1.1 head")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        if line[0] in _INITIALS:
            name, _, value = line.partition(b":")
            name = name.lower()
            if name in _READ:
                value = value.strip()
                if name == b"content-length" and fields.get(name, value) != value:
                    raise BrokenAnswer("two different Content-Lengths")
                fields[name] = value
    return fields
