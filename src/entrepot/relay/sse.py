"""Server-sent events as bytes: where whole events end, and how a run of them is taken apart.

Events are separated by an empty line, written with LF or with CRLF; bare CR, which the format also knows, is written by
no model server. Source: WHATWG HTML, section 9.2.5 (event stream format).
"""

import re

MEDIA_TYPE = b"text/event-stream"

_LF = b"\n\n"
_CRLF = b"\n\r\n"  # Of an empty line that ends so, whatever the line before it ended with.
_ENDS = re.compile(rb"\n\r?\n")


def end_of_last_event(data: bytes) -> int:
    """The offset behind the last whole event in data, 0 when there is none."""
    lf = data.rfind(_LF)
    crlf = data.rfind(_CRLF)
    if crlf > lf:
        return crlf + 3
    return lf + 2 if lf >= 0 else 0


def split_events(block: bytes) -> list[bytes]:
    """The events of a block, each with the empty line that ends it; joined they are the block again."""
    events = []
    start = 0
    for end in _ENDS.finditer(block):
        events.append(block[start : end.end()])
        start = end.end()
    if start < len(block):
        events.append(block[start:])
    return events


def data_of(event: bytes) -> bytes:
    """The data of an event, its lines joined by LF; empty when it has none, as in a comment that keeps a line open."""
    if event.startswith(b"data: ") and event.find(b"\n") >= len(event.rstrip(b"\r\n")):
        return event[6:].rstrip(b"\r\n")
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)
