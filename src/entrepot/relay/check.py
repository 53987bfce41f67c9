"""One look whether an upstream answers: a request for nothing, over the same connections as all others."""

from collections.abc import Callable

from entrepot.relay.http1 import AnswerHead
from entrepot.relay.upstream import Broken, Lane, UpstreamConnection

_BAD = 400


class Check:
    """Tells once whether an answer came that is no refusal; nothing, when it is cancelled before."""

    __slots__ = ("_connection", "_good", "_lane", "_request", "_tell")

    _lane: Lane

    def __init__(self, request: bytes, tell: Callable[[bool], None]) -> None:
        self._request = request
        self._tell: Callable[[bool], None] | None = tell
        self._connection: UpstreamConnection | None = None
        self._good = False

    def start(self, lane: Lane) -> None:
        """Asks; the answer may come before this returns."""
        self._lane = lane
        lane.lend(self)

    def cancel(self) -> None:
        """Asks no more."""
        self._tell = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()

    # What the lane says.

    def connected(self, connection: UpstreamConnection) -> None:
        """Sends the request, if it is still wanted."""
        if self._tell is None:
            connection.put_back(keep=True)
            return
        self._connection = connection
        connection.send(self._request, self)

    def unreachable(self, reason: str) -> None:
        """There is nobody."""
        del reason
        self._end(good=False)

    # What the connection says.

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        """The answer, at once."""
        del body
        self._end(good=head.status < _BAD)

    def on_head(self, head: AnswerHead) -> None:
        """The answer begins."""
        self._good = head.status < _BAD

    def on_chunk(self, data: bytes) -> bool:
        """Never as it is."""
        del data
        return False

    def on_body(self, payload: bytes) -> None:
        """Whatever it says."""

    def on_end(self) -> None:
        """The answer is complete."""
        self._end(good=self._good)

    def on_broken(self, broken: Broken) -> None:
        """The answer did not come, or not all of it. It is asked for once more if a kept connection had gone stale."""
        if broken.was_stale:
            self._lane.lend(self, fresh=True)
        else:
            self._end(good=False)

    def _end(self, *, good: bool) -> None:
        self._connection = None
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(good)
