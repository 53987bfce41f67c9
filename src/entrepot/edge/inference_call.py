"""One request as its answer is shaped: in its client's dialect, with its id on every answer."""

import math
from collections.abc import Callable

from entrepot.core.errors import EntrepotError
from entrepot.core.periods import Instant
from entrepot.dialects import openai
from entrepot.edge import error_bodies
from entrepot.edge.client_connection import ClientConnection
from entrepot.edge.error_bodies import ErrorAnswer
from entrepot.edge.gateway_metrics import Tally
from entrepot.edge.http_answers import CLOSE, JSON, LAST_CHUNK, chunk, stream_head, whole_head
from entrepot.edge.http_requests import Request


class InferenceCall:
    """The client of a flow's exchange (flows.serve_inference.Client), and the answers of routes that need no exchange.

    is_azure: the dialect of errors. served_by: the deployment as the path names it, or b"". counted_as: a route's path.
    """

    __slots__ = (
        "_chunked", "_connection", "_has_body", "_keep", "_now", "_tally", "_write", "at", "counted_as", "finished",
        "id", "is_azure", "served_by",
    )  # fmt: skip

    def __init__(
        self,
        request_id: str,
        at: Instant,
        now: Callable[[], Instant],
        tally: Tally,
        connection: ClientConnection,
        request: Request | None,
    ) -> None:
        """request: None for bytes that are none, after which no other can be read."""
        self.id = request_id
        self.is_azure = False
        self.served_by = b""
        self.counted_as = "none"
        self.finished = False
        self.at = at
        self._connection = connection
        self._write = connection.write
        self._now = now
        self._tally = tally
        self._keep = request is not None and request.keep_alive
        self._chunked = request is not None and request.takes_chunks
        self._has_body = request is None or request.method != b"HEAD"

    # ---- as the client of an exchange

    def answer(self, status: int, body: bytes) -> None:
        """A whole answer."""
        self.reply(status, JSON, body)

    def open_stream(self) -> Callable[[bytes], None] | None:
        """The head of an event stream."""
        self._tally.answered(self.counted_as, 200)
        if not self._chunked:
            self._keep = False
        self._write(stream_head(self._fields(b"" if self._keep or not self._chunked else CLOSE), chunked=self._chunked))
        return self._write if self._chunked else None

    def send(self, events: bytes) -> None:
        """Events of the stream."""
        self._write(b"%x\r\n%b\r\n" % (len(events), events) if self._chunked else events)

    def end_stream(self, events: bytes) -> None:
        """The last events, and the end."""
        if not self._chunked:
            self._write(events)
        else:
            self._write(chunk(events) + LAST_CHUNK if events else LAST_CHUNK)
        self._finish()

    def break_stream(self, error: EntrepotError) -> None:
        """An error among the events, which makes clients raise; then the connection ends without the stream's end."""
        self._tally.failed(error.code)
        self.send(openai.error_event(error_bodies.openai_error(error).body))
        self._keep = False
        self._finish()

    def refuse(self, error: EntrepotError) -> None:
        """An error of our own."""
        self._tally.failed(error.code)
        shaped = error_bodies.azure_error(error) if self.is_azure else error_bodies.openai_error(error)
        self.reply_error(shaped, retry_after_s=error.retry_after_s)

    def relay_error(self, status: int, error: openai.UpstreamError, retry_after: bytes) -> None:
        """An error of the upstream's."""
        fields = b"Retry-After: %b\r\n" % retry_after if retry_after.isdigit() else b""
        self.reply(*_as_json(error_bodies.upstream_error(status, error, is_azure=self.is_azure)), fields)

    # ---- as the answer of any route

    def reply(self, status: int, media_type: bytes, body: bytes, fields: bytes = b"") -> None:
        """A whole answer of any kind."""
        self._tally.answered(self.counted_as, status)
        if not self._keep:
            fields += CLOSE
        head = whole_head(status, media_type, len(body), self._fields(fields))
        self._write(head + body if self._has_body else head)
        self._finish()

    def reply_error(self, error: ErrorAnswer, fields: bytes = b"", *, retry_after_s: float | None = None) -> None:
        """An error, with when to try again."""
        if retry_after_s is not None:
            fields += b"Retry-After: %d\r\nretry-after-ms: %d\r\n" % (
                math.ceil(retry_after_s),
                math.ceil(retry_after_s * 1000),
            )
        self.reply(*_as_json(error), fields)

    def _fields(self, fields: bytes) -> bytes:
        """The header lines of every answer behind the given ones."""
        request_id = self.id.encode()
        if self.served_by:
            fields += b"x-ms-deployment-name: %b\r\n" % self.served_by
        return b"%bx-request-id: %b\r\napim-request-id: %b\r\nopenai-processing-ms: %d\r\n" % (
            fields,
            request_id,
            request_id,
            max(0, self._now() - self.at) // 1000,
        )

    def _finish(self) -> None:
        self.finished = True
        self._connection.finish(keep=self._keep)


def _as_json(error: ErrorAnswer) -> tuple[int, bytes, bytes]:
    return error.status, JSON, error.body
