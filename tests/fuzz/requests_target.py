"""Requests under the fuzzer: read the same in whatever pieces, and as the reference parsers read them.

What we take for a request, both references take for the same one: method, target, body, and where it ends. What we
refuse and a reference takes must be one of STRICTER, each of which is a decision.
"""

import re
from collections.abc import Callable, Iterable

from entrepot.edge.http_requests import Refusal, RequestLimits, RequestReader
from tests.fuzz.reading import Message, Reading, cuts_of
from tests.fuzz.reference_requests import by_h11, by_llhttp

LIMITS = RequestLimits()
BODY_BYTES_MAX = LIMITS.body_bytes

# Methods that llhttp does not know are no requests to it; we answer them with 405. Source: RFC 9110 section 16.1.1.
_KNOWN_METHODS = re.compile(
    rb"(?:DELETE|GET|HEAD|POST|PUT|CONNECT|OPTIONS|TRACE|COPY|LOCK|MKCOL|MOVE|PROPFIND|PROPPATCH|SEARCH|UNLOCK|BIND|"
    rb"REBIND|UNBIND|ACL|REPORT|MKACTIVITY|CHECKOUT|MERGE|M-SEARCH|NOTIFY|SUBSCRIBE|UNSUBSCRIBE|PATCH|PURGE|MKCALENDAR|"
    rb"LINK|UNLINK|SOURCE|PRI|DESCRIBE|ANNOUNCE|SETUP|PLAY|PAUSE|TEARDOWN|GET_PARAMETER|SET_PARAMETER|REDIRECT|RECORD|"
    rb"FLUSH|QUERY)"
)

_ADDRESS = re.compile(rb"\Ahttps?://[0-9A-Za-z.:_~%\[\]-]+(?=/)", re.IGNORECASE)


def _head(pattern: bytes, *, to_the_end: bool = False) -> Callable[[bytes], bool]:
    """Whether the head of a message matches, all of its lines; to_the_end: with the empty one behind them."""
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)

    def matches(rest: bytes) -> bool:
        found = re.search(rb"\A(?:[^\n]+?\r?\n)*?(\r?\n)", rest)
        if found is not None:
            rest = rest[: found.end() if to_the_end else found.start(1)]
        return compiled.search(rest) is not None

    return matches


def _twice(rest: bytes) -> bool:
    head = re.split(rb"\r\n\r\n", rest, maxsplit=1)[0].lower()
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    once = {b"host", b"content-length", b"transfer-encoding", b"authorization", b"api-key", b"expect"}
    return any(names.count(name) > 1 for name in once)


def _too_large(rest: bytes) -> bool:
    found = re.search(rb"\r\ncontent-length:[ \t]*([0-9]+)", rest.partition(b"\r\n\r\n")[0], re.IGNORECASE)
    return found is not None and int(found[1]) > BODY_BYTES_MAX


def _chunk(pattern: bytes) -> Callable[[bytes], bool]:
    """Whether the body in chunks of a message matches somewhere behind its head."""
    compiled = re.compile(pattern, re.DOTALL)

    def matches(rest: bytes) -> bool:
        head, _, body = rest.partition(b"\r\n\r\n")
        return b"chunked" in head.lower() and compiled.search(body) is not None

    return matches


# What we refuse although a parser could take it: {why: whether a message is like that}.
STRICTER: dict[str, Callable[[bytes], bool]] = {
    "a target that is neither a path nor an address of the Host": _head(
        rb"\A[^ ]+ (?!/|https?://([0-9A-Za-z.:_~%\[\]-]+)/.*\nhost:[ \t]*\1[ \t]*\r)"
    ),
    "another version than HTTP/1.0 and HTTP/1.1": _head(rb"\A[^\n]* (?!HTTP/1\.[01]\r\n)[^ \n]*\r?\n"),
    "two spaces in a first line": _head(rb"\A[^\n]*  "),
    "a line that ends without CR": _head(rb"(?<!\r)\n", to_the_end=True),
    "a folded line": _head(rb"\n[ \t]"),
    "a coding with a length, or from HTTP/1.0": _head(
        rb"(?=.*\ntransfer-encoding:)(?:.*\ncontent-length:|[^\n]*HTTP/1\.0)"
    ),
    "another coding than chunked": _head(rb"\ntransfer-encoding:(?![ \t]*chunked[ \t]*\r)"),
    "a field twice that may be there once": _twice,
    "an expectation other than 100-continue": _head(rb"\nexpect:(?![ \t]*100-continue[ \t]*\r)"),
    "a length that is not up to 15 plain digits": _head(rb"\ncontent-length:(?![ \t]*[0-9]{1,15}[ \t]*\r)"),
    "a body that is too large": _too_large,
    "no Host": _head(rb"\A(?!.*\nhost:)"),
    "a target beyond visible ASCII": _head(rb"\A[^ ]+ [!-~]*[^ -~]"),
    "a field's name that is no token": _head(rb"\n(?!\Z|[!#$%&'*+\-.^_`|~0-9A-Za-z]+:)"),
    "a control character in a head": _head(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)"),
    "a chunk's size that is not up to 15 plain digits": _chunk(
        rb"(?:\A|\n)(?:[0-9A-Fa-f]{16,}|[0-9A-Fa-f]+(?:[^0-9A-Fa-f;\r\n]|\r(?!\n)))"
    ),
    "a chunk's extension that is not ;name=value": _chunk(rb"(?:\A|\n)[0-9A-Fa-f]+;"),
    "a chunk's size that ends without CR": _chunk(rb"(?:\A|\n)[0-9A-Fa-f]+[^\r\n]*\n"),
    "a trailer that is no list of fields": _chunk(rb"(?:\A|\n)0+(?:;[^\n]*)?\r?\n(?!\r\n)"),
}


def check(data: bytes) -> None:
    """Raises: AssertionError when two readings of data disagree."""
    ours = read([data])
    for pieces in cuts_of(data):
        in_pieces = read(pieces)
        assert in_pieces == ours, f"in pieces: {in_pieces}, at once: {ours}"
    h11, llhttp = _by_path(by_h11(data)), _by_path(by_llhttp(data))
    compare(ours, h11, "h11", lambda: stricter(data, h11.starts, len(ours.messages)))
    compare(ours, llhttp, "llhttp", lambda: stricter(data, h11.starts, len(ours.messages)))
    if ours.rest == "refused" and not any(theirs.rest == "refused" for theirs in (h11, llhttp)):
        assert stricter(data, h11.starts, len(ours.messages)), (
            f"only we refuse; h11: {h11}, llhttp: {llhttp}, we: {ours}"
        )


def read(pieces: Iterable[bytes]) -> Reading:
    """What our reader makes of a connection's bytes. Nothing behind a request that closes is looked at."""
    reader = RequestReader(LIMITS)
    messages: list[Message] = []
    try:
        for piece in pieces:
            request = reader.feed(piece)
            while request is not None:
                target = request.head.path + (b"?" + request.head.query if b"?" in _target(request.head.text) else b"")
                messages.append(Message((request.head.method, target), request.body))
                if not request.head.keep_alive:
                    return Reading(tuple(messages), "closed")
                request = reader.feed(b"")
    except Refusal:
        return Reading(tuple(messages), "refused")
    return Reading(tuple(messages), "waits" if reader.has_begun else "nothing")


def _by_path(theirs: Reading) -> Reading:
    """With targets that are whole addresses as we read them: whether the host is the right one is not theirs to say."""
    messages = (
        Message(tuple(_ADDRESS.sub(b"", part) for part in message.subject), message.body) for message in theirs.messages
    )
    return theirs._replace(messages=tuple(messages))


def _target(head: bytes) -> bytes:
    return head.split(b" ", 2)[1]


def compare(ours: Reading, theirs: Reading, name: str, why: Callable[[], list[str]]) -> None:
    """Raises: AssertionError when only we take something for a message, or only they do and no rule says why."""
    common = min(len(ours.messages), len(theirs.messages))
    assert ours.messages[:common] == theirs.messages[:common], f"{name}: {theirs}, we: {ours}"
    if len(ours.messages) > common:
        known = _KNOWN_METHODS.fullmatch(ours.messages[common].subject[0]) is not None
        assert theirs.rest == "closed" or not known, f"only we take message {common}; {name}: {theirs}, we: {ours}"
    elif len(theirs.messages) > common and ours.rest != "closed":
        assert why(), f"not taken for no reason that is written down; {name}: {theirs}, we: {ours}"


def stricter(data: bytes, starts: tuple[int, ...] = (0,), number: int = 0) -> list[str]:
    """Why we refuse a message that a parser could take. starts: where messages begin."""
    rest = data[starts[number] :] if number < len(starts) else b""
    return [why for why, is_so in STRICTER.items() if is_so(rest)]
