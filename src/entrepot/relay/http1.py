"""HTTP/1.1 answers out of an upstream's bytes, in whatever pieces they come, without any I/O.

An answer's body ends by its Content-Length, by its last chunk, or with the connection. Source: RFC 9112 section 6.
Requests of clients, the other side of HTTP, are read in edge/http_requests.py.
"""

import re
from typing import Final

from entrepot.core.chunked_coding import BadChunk, ChunkedReader
from entrepot.relay import shortcuts

HEAD_BYTES_MAX = 64 * 1024
_UNTIL_CLOSE: Final = -1
_LENGTH_DIGITS_MAX = 15
_whole_answer: Final = shortcuts.whole_answer  # Bound once; see decisions/0009.

_SAYABLE = re.compile(rb"[ -~]{1,200}")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])[ \r]")


class BrokenAnswer(Exception):
    """What came from the upstream is not an HTTP/1.1 answer; the text says why."""


class AnswerHead:
    """An answer's head. Its fields are looked for when they are asked for: few are, and heads can be long.

    text: all of it, without the empty line; keep_alive: whether another answer can follow on the connection.
    """

    __slots__ = ("keep_alive", "status", "text")

    def __init__(self, status: int, text: bytes, *, keep_alive: bool) -> None:
        self.status = status
        self.text = text
        self.keep_alive = keep_alive

    def field(self, name: bytes) -> bytes:
        """The value of the field of this name, which is in lower case; b"" when there is none."""
        return _field(self.text, self.text.lower(), name)

    @property
    def content_type(self) -> str:
        """What the body is, as the upstream says it; mere bytes, if it says nothing that can be passed on."""
        told = self.field(b"content-type")
        return told.decode() if _SAYABLE.fullmatch(told) else "application/octet-stream"

    @property
    def media_type(self) -> bytes:
        """What the body is, in lower case and without parameters."""
        return self.field(b"content-type").partition(b";")[0].rstrip().lower()


def read_whole(data: bytes) -> tuple[AnswerHead, bytes] | None:
    """The answer in data, if it is all of a plain 200 of known length: nearly every answer that is no stream.

    None for any other, and for what has a field that is worth a second look; AnswerReader is for them.
    """
    body = _whole_answer(data)
    return None if body < 0 else (AnswerHead(200, data[: body - 4], keep_alive=True), data[body:])


def _field(text: bytes, lower: bytes, name: bytes) -> bytes:
    """The value of a field in a head, given in lower case as well, so that many can be looked for."""
    at = lower.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    at += len(name) + 3
    end = text.find(b"\r\n", at)
    return text[at : end if end >= 0 else None].strip()


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
            text, data = data[:end], data[end + 4 :]
            if match[2] == b"101":
                raise BrokenAnswer("a change of protocol that nobody asked for")
            if match[2] >= b"200":
                self._begin_body(int(match[2]), text, is_http11=match[1] == b"1")
                return data

    def _begin_body(self, status: int, text: bytes, *, is_http11: bool) -> None:
        lower = text.lower()
        connection = _field(text, lower, b"connection").lower()
        keep_alive = connection.find(b"close") < 0 if is_http11 else connection.find(b"keep-alive") >= 0
        codings = lower.count(b"\r\ntransfer-encoding:")
        length = _field(text, lower, b"content-length")
        if status in {204, 304}:
            self.complete = True
        elif codings:
            if codings > 1 or _field(lower, lower, b"transfer-encoding") != b"chunked":
                raise BrokenAnswer("a transfer coding other than chunked")
            keep_alive = keep_alive and not length
            self.chunks = ChunkedReader()
        elif not length:
            self._left = _UNTIL_CLOSE
        else:
            if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX or lower.count(b"\r\ncontent-length:") > 1:
                raise BrokenAnswer("a Content-Length that is not one number")
            self._left = int(length)
            self.complete = self._left == 0
        self.head = AnswerHead(status, text, keep_alive=keep_alive)

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
