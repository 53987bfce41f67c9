"""Shortcuts through an upstream's bytes, for the answers that are as nearly all are.

Each gives what the long way (http1, usage_tap) gives, or -1, and then the long way decides. Where shortcuts.c is
compiled beside this file, it is imported in its place.
"""

import re

_UNUSUAL = re.compile(
    rb"\r\n(?:transfer-encoding|content-encoding|content-length(?!: )|connection(?!: keep-alive(?:\r|\Z)))"
)
_CHUNK_END = b"\n\n\r\n"
_SIZE_LINE_BYTES = 8
_SIZES = 4096
_SIZE_LINES = [b"%x\r\n" % size for size in range(_SIZES)]


def whole_answer(data: bytes) -> int:
    """Where the body begins in data that is all of a plain 200 answer: its length given, its connection kept."""
    end = data.find(b"\r\n\r\n")
    lower = data[:end].lower()
    _, found, behind = lower.partition(b"\r\ncontent-length: ")
    plain = (
        end >= 0
        and found
        and behind.partition(b"\r\n")[0] == b"%d" % (len(data) - end - 4)
        and data.startswith(b"HTTP/1.1 200 ")
        and not _UNUSUAL.search(lower)
        and behind.find(b"content-length") < 0
    )
    return end + 4 if plain else -1


def lines_of_content(data: bytes, marks: tuple[bytes, ...]) -> int:
    """How many lines begin with "data:" in what is one HTTP chunk of whole events without any of the marks.

    The size is compared as digits in lower case, which is how servers write it. A mark has two bytes at least.
    """
    size = len(data) - data.find(b"\r\n", 0, _SIZE_LINE_BYTES) - 4
    if not 1 < size < _SIZES or not data.endswith(_CHUNK_END) or not data.startswith(_SIZE_LINES[size]):
        return -1
    for mark in marks:
        if len(mark) < 2 or data.find(mark) >= 0:  # `in` takes three times as long: it first tries a number.
            return -1
    return data.count(b"\ndata:")


def request_of(head: bytes, request_id: str, body: bytes) -> bytes | None:
    """The head, the request's id behind it, the length of the body, and the body; None, and then the long way."""
    del head, request_id, body
    return None
