"""Requests as two other parsers read them: h11, written from the grammar of RFC 9112, and llhttp, which Node uses."""

import h11
import httptools

from tests.fuzz.reading import Message, Reading, Rest


def by_h11(data: bytes) -> Reading:
    """What h11 reads. It refuses empty lines before a request, which RFC 9112 section 2.2 lets pass: skipped."""
    messages: list[Message] = []
    starts: list[int] = []
    at = 0
    while True:
        while data.startswith(b"\r\n", at):
            at += 2
        starts.append(at)
        if at == len(data):
            return Reading(tuple(messages), "nothing", tuple(starts))
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        connection.receive_data(data[at:])
        message = _next_message(connection)
        if not isinstance(message, Message):
            return Reading(tuple(messages), message, tuple(starts))
        messages.append(message)
        at = len(data) - len(connection.trailing_data[0])
        if connection.their_state is not h11.DONE:
            return Reading(tuple(messages), "closed", (*starts, at))


def _next_message(connection: h11.Connection) -> Message | Rest:
    subject: tuple[bytes, ...] = ()
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                subject = (event.method, event.target)
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Message(subject, body)
            else:
                return "waits"
    except h11.RemoteProtocolError:
        return "refused"


class _Heard:
    """The callbacks of llhttp, as httptools makes them."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.messages: list[Message] = []
        self.inside = False
        self.ended = False
        self._target = self._body = b""

    def on_message_begin(self) -> None:
        self.inside = True
        self._target = self._body = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.inside = False
        if not self.ended:
            self.messages.append(Message((self.parser.get_method(), self._target), self._body))
        self.ended = self.ended or not self.parser.should_keep_alive()


def by_llhttp(data: bytes) -> Reading:
    """What llhttp reads. It looks at nothing behind a request that wants to close.

    Of one that asks for another protocol it reads no body, as if it had been granted; that is not compared.
    """
    heard = _Heard()
    rest: Rest
    try:
        heard.parser.feed_data(data)
        rest = "waits" if heard.inside else "nothing"
    except httptools.HttpParserUpgrade:
        return Reading(tuple(heard.messages[:-1]), "closed")
    except httptools.HttpParserError:
        rest = "refused"
    return Reading(tuple(heard.messages), "closed" if heard.ended else rest)
