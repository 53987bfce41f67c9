"""Upstreams' answers under the fuzzer: read the same in whatever pieces, and as the reference parsers read them.

What counts is the connection's next answer, which is another customer's: where we say that an answer is complete and
that its connection can serve again, both references must say so at the same byte, with the same status and body.
"""

import re
from collections.abc import Iterable

import h11
import httptools

from entrepot.relay.http1 import AnswerReader, BrokenAnswer, read_whole
from tests.fuzz.reading import Message, Reading, cuts_of

_HEADS = re.compile(
    rb"(?:HTTP/1\.1 1[0-9][0-9](?: [^\x00-\x08\x0a-\x1f\x7f]*)?"
    rb"(?:\r\n(?i:(?!transfer-encoding:|content-length:)[!#$%&'*+\-.^_`|~0-9A-Z]+):[^\x00-\x08\x0a-\x1f\x7f]*)*\r\n\r\n)*"
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?"
    rb"(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*)*\r\n\r\n"
)


def check(data: bytes) -> None:
    """Raises: AssertionError when two readings of data disagree."""
    ours = read([data])
    for pieces in cuts_of(data):
        in_pieces = read(pieces)
        assert in_pieces == ours, f"in pieces: {in_pieces}, at once: {ours}"
    whole = read_whole(data)
    if whole is not None:
        head, body = whole
        assert Reading((Message((b"%d" % head.status,), body),), "nothing") == ours, f"in one go: {whole}, else: {ours}"
    if ours.rest == "nothing" and not _is_doubtful(data):
        for reference in (by_h11, by_llhttp):
            assert reference(data) == ours, f"{reference.__name__}: {reference(data)}, we: {ours}"


def read(pieces: Iterable[bytes]) -> Reading:
    """What our reader makes of an answer. rest: nothing, where another can follow; closed, where none can."""
    reader = AnswerReader()
    body = b""
    try:
        for piece in pieces:
            body += reader.feed(piece)
    except BrokenAnswer:
        return Reading((), "refused")
    head = reader.head
    if head is None or not reader.complete:
        return Reading((), "waits")
    return Reading((Message((b"%d" % head.status,), body),), "nothing" if head.keep_alive else "closed")


def _is_doubtful(data: bytes) -> bool:
    """Whether the references refuse the head for what neither frames an answer nor reaches a client.

    We do not look at fields that we do not use. What could hide a length or a coding from one of two readers is not
    doubtful but wrong, so it is looked at as closely as a request: a name that is one but for spaces. Neither an
    interim answer nor 204 or 304 has a body, whatever it says of one; h11 refuses some that say it.
    """
    found = _HEADS.match(data)
    return found is None or (found[1] in {b"204", b"304"} and b"transfer-encoding:" in found[0].lower())


def by_h11(data: bytes) -> Reading:
    """What h11 reads as the answer to a POST."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "h"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    status, body = b"", b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = b"%d" % event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                return Reading((), "waits")
    except h11.RemoteProtocolError:
        return Reading((), "refused")
    if connection.trailing_data[0]:
        return Reading((), "refused")
    return Reading((Message((status,), body),), "nothing" if connection.their_state is h11.DONE else "closed")


class _Heard:
    """The callbacks of llhttp, as httptools makes them."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.message: Message | None = None
        self.rest_kept = False
        self.more = False
        self._body = b""

    def on_message_begin(self) -> None:
        self.more = self.message is not None
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= 200 and self.message is None:
            self.message = Message((b"%d" % status,), self._body)
            self.rest_kept = self.parser.should_keep_alive()


def by_llhttp(data: bytes) -> Reading:
    """What llhttp reads."""
    heard = _Heard()
    try:
        heard.parser.feed_data(data)
    except httptools.HttpParserError:
        return Reading((), "refused")
    if heard.message is None:
        return Reading((), "waits")
    if heard.more:
        return Reading((), "refused")
    return Reading((heard.message,), "nothing" if heard.rest_kept else "closed")
