"""A realtime session's client, as the flow sees it."""

from typing import Protocol

from entrepot.core.errors import EntrepotError
from entrepot.core.usage_event import Outcome
from entrepot.dialects.openai_wire import UpstreamError


class Talk(Protocol):
    """A session, as its client's connection sees it."""

    @property
    def is_idle(self) -> bool:
        """Whether no response is being given."""
        ...

    def sent(self, data: bytes) -> None:
        """Bytes of the client's."""
        ...

    def slow(self, paused: bool) -> None:
        """The client takes no more for now, or does again."""
        ...

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """The client is gone."""
        ...

    def go_away(self) -> None:
        """The process stops, and no response is being given."""
        ...

    def cut(self) -> None:
        """The process stops."""
        ...


class Outlet(Protocol):
    """The client's connection once it is a WebSocket."""

    def start(self) -> None:
        """Lets the session hear what comes, beginning with what has come already."""
        ...

    def write(self, data: bytes) -> None:
        """Bytes of the upstream's."""
        ...

    def pause_reading(self, paused: bool) -> None:
        """Takes nothing more from the client for now, or does again."""
        ...

    def end(self) -> None:
        """Ends the connection once everything is written; the session hears nothing more of it."""
        ...


class SessionClient(Protocol):
    """Who asked for a session. It hears accept, or one of the calls marked *."""

    def accept(self, accept: bytes, protocol: bytes, session: Talk) -> Outlet:
        """A WebSocket begins, and the session hears what comes."""
        ...

    def refuse(self, error: EntrepotError) -> None:
        """* An error of our own."""
        ...

    def relay_error(self, status: int, error: UpstreamError, retry_after: bytes) -> None:
        """* An error of the upstream's."""
        ...

    def left(self, outcome: Outcome) -> None:
        """* It is gone."""
        ...

    def error_body(self, error: EntrepotError) -> bytes:
        """An error of our own as this client's API writes it."""
        ...
