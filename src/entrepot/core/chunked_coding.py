"""The chunked transfer coding of HTTP/1.1: payload out of bytes that come in whatever pieces.

Strict, because two parsers that disagree about where a message ends are how requests are smuggled: sizes are bare
hexadecimal digits, lines end with CRLF, a chunk is exactly as long as it says. Extensions and trailers are read over,
as long as no trailer frames a message.
Source: RFC 9112 section 7.1.
"""

import re

LINE_BYTES_MAX = 4096
TRAILER_BYTES_MAX = 16 * 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_EXTENSION = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[\t !#-\[\]-~]*+"))?'
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*+\r\n")
_TRAILER = re.compile(rb"(?i:(?!content-length:|transfer-encoding:)" + _TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+")
_CRLF = b"\r\n"


class BadChunk(ValueError):
    """The bytes break the chunked coding; the text says how."""


class ChunkedReader:
    """Reads one message's body. complete: its end was read; rest: the bytes behind it; between: no chunk is open."""

    __slots__ = ("_in_trailer", "_kept", "_left", "between", "complete", "rest")

    def __init__(self) -> None:
        self.complete = False
        self.between = True
        self.rest = b""
        self._kept = b""  # The start of a size line or of the trailer.
        self._left = 0  # What is still to come of a chunk that is open, its CRLF included.
        self._in_trailer = False

    def feed(self, data: bytes) -> bytes:
        """The payload in data, which may be empty. Raises: BadChunk."""
        if self._kept:
            data = self._kept + data
            self._kept = b""
        pieces: list[bytes] = []
        at = self._read_open(data, 0, pieces) if self._left else 0
        size = len(data)
        while at < size and not self._in_trailer:
            match = _SIZE.match(data, at)
            if match is None:
                self._keep_size_line(data[at:])
                break
            start = match.end()
            length = int(match[1], 16)
            end = start + length + 2
            if length == 0:
                self._in_trailer = True
                at = start
            elif end <= size:
                if not data.endswith(_CRLF, start, end):
                    raise BadChunk("a chunk is longer than its size")
                pieces.append(data[start : end - 2])
                at = end
            else:
                self._left = length + 2
                at = self._read_open(data, start, pieces)
        if self._in_trailer:
            self._read_trailer(data[at:])
        self.between = not (self._left or self._kept or self._in_trailer)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_open(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """The offset behind what belongs to the open chunk; its payload is appended to pieces."""
        left = self._left
        if left > 2:
            pieces.append(data[at : at + left - 2])
        ending = data[at + max(left - 2, 0) : at + left]
        if not _CRLF[2 - min(left, 2) :].startswith(ending):
            raise BadChunk("a chunk is longer than its size")
        taken = min(left, len(data) - at)
        self._left = left - taken
        return at + taken

    def _keep_size_line(self, line: bytes) -> None:
        if b"\n" in line or len(line) > LINE_BYTES_MAX:
            raise BadChunk("a chunk size is not hexadecimal digits and CRLF")
        self._kept = line

    def _read_trailer(self, data: bytes) -> None:
        end = 0 if data.startswith(_CRLF) else data.find(b"\r\n\r\n") + 2
        if end == 1:
            if len(data) > TRAILER_BYTES_MAX:
                raise BadChunk("the trailer is too long")
            self._kept = data
            return
        if _TRAILER.fullmatch(data, 0, end) is None:
            raise BadChunk("the trailer is not a list of fields")
        self.complete = True
        self.rest = data[end + 2 :]
