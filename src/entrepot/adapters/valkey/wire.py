"""Valkey's wire format, RESP2, without a socket: a command as bytes, bytes as replies.

Source: the protocol specification of Valkey, "RESP protocol description".
"""

REPLY_BYTES_MAX = 64 * 2**20
_LINE_BYTES_MAX = 64 * 1024


class ServerError(str):
    """A reply that refuses a command, in the server's words."""

    __slots__ = ()


Reply = bytes | int | ServerError | list["Reply"] | None


class BadReply(Exception):
    """Bytes that are no reply; nothing of this connection can be understood any more."""


class _Missing(Exception):
    """More bytes must come."""


def command(*words: bytes) -> bytes:
    """A command as the server reads it."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n" % len(word))
        parts.append(word)
        parts.append(b"\r\n")
    return b"".join(parts)


class ReplyReader:
    """Replies in the order of their commands."""

    __slots__ = ("_at", "_data", "_needed")

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0
        self._needed = 0  # Below this many bytes the next reply cannot be whole.

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete with data. Raises: BadReply."""
        self._data += data
        replies: list[Reply] = []
        if len(self._data) < self._needed:
            return replies
        begins = 0
        try:
            while begins < len(self._data):
                self._at = begins
                replies.append(self._read())
                begins = self._at
        except _Missing:
            pass
        del self._data[:begins]
        self._needed = max(0, self._needed - begins)
        return replies

    def _read(self) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ServerError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return _number(rest)
        if kind == b"$":
            return self._bulk(_number(rest))
        if kind == b"*":
            count = _number(rest)
            return None if count < 0 else [self._read() for _ in range(count)]
        raise BadReply(f"a reply begins with {kind!r}")

    def _line(self) -> bytes:
        end = self._data.find(b"\r\n", self._at)
        if end < 0:
            if len(self._data) - self._at > _LINE_BYTES_MAX:
                raise BadReply("a line without an end")
            raise _Missing
        line = bytes(self._data[self._at : end])
        self._at = end + 2
        return line

    def _bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        if size > REPLY_BYTES_MAX:
            raise BadReply(f"a reply of {size} bytes")
        end = self._at + size
        if len(self._data) < end + 2:
            self._needed = end + 2
            raise _Missing
        value = bytes(self._data[self._at : end])
        if self._data[end : end + 2] != b"\r\n":
            raise BadReply("a value that does not end where it said")
        self._at = end + 2
        return value


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadReply(f"{text[:20]!r} is not a number") from None
