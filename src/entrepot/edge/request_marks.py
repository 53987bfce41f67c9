"""What a client says about its request beside asking it: its own id, the trace it is part of, what it wants to see.

Nothing of it decides anything. What goes back or on is checked letter by letter first, and bounded.
Sources: OpenAI "Debugging requests" (X-Client-Request-Id); Azure REST guidelines (x-ms-client-request-id); W3C Trace
Context, section 3.2.2.
"""

import re
from typing import NamedTuple

_FIELD = re.compile(
    rb"\r\n(x-client-request-id|x-ms-client-request-id|x-request-id|traceparent|x-entrepot-timing|origin):[ \t]*+"
    rb"([^\r]*)",
    re.IGNORECASE,
)
_ID = re.compile(rb"[!-~]{1,128}")
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
# Under which name an id goes back: x-request-id is where ours is.
_ECHOED = {
    b"x-client-request-id": "x-client-request-id",
    b"x-ms-client-request-id": "x-ms-client-request-id",
    b"x-request-id": "x-client-request-id",
}


class Parent(NamedTuple):
    """The span that the request was made in, in hex. sampled: its trace is recorded."""

    trace_id: str
    span_id: str
    sampled: bool


class Marks(NamedTuple):
    """echo: header lines that give the client its own ids back. id: the first of these. timed: it asks for timings.

    from_page: a browser asks for a page.
    """

    id: str
    echo: str
    parent: Parent | None
    timed: bool
    from_page: bool


def marks_of(head: bytes) -> Marks | None:
    """The marks in a request's head, or None when there are none: a mark that is not well formed is none."""
    found: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(head):
        found.setdefault(name.lower(), value.rstrip())
    if not found:
        return None
    ids = {_ECHOED[name]: value.decode() for name, value in found.items() if name in _ECHOED and _ID.fullmatch(value)}
    marks = Marks(
        id=next(iter(ids.values()), ""),
        echo="".join(f"{name}: {value}\r\n" for name, value in ids.items()),
        parent=_parent(found.get(b"traceparent", b"")),
        timed=found.get(b"x-entrepot-timing", b"") not in {b"", b"0"},
        from_page=b"origin" in found,
    )
    return marks if any(marks) else None


def _parent(parent: bytes) -> Parent | None:
    match = _PARENT.fullmatch(parent)
    if match is None or (parent.startswith(b"00") and len(parent) != 55):
        return None
    return Parent(match[1].decode(), match[2].decode(), bool(int(match[3], 16) & 1))
