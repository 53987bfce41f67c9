"""A request for a WebSocket as its answer is shaped: an error like any other's, or the connection handed over."""

from entrepot.core.errors import EntrepotError
from entrepot.core.usage_event import Outcome
from entrepot.dialects.openai_wire import UpstreamError
from entrepot.edge.client_connection import Application, ClientConnection
from entrepot.edge.error_bodies import openai_error
from entrepot.edge.inference_call import InferenceCall
from entrepot.edge.session_connection import SessionConnection
from entrepot.flows.serve_inference.session_client import Talk


class SessionCall:
    """The client of a flow's session (flows.serve_inference.session)."""

    __slots__ = ("_api", "_call", "_connection")

    def __init__(self, call: InferenceCall, connection: ClientConnection, api: Application) -> None:
        self._call = call
        self._connection = connection
        self._api = api

    def accept(self, accept: bytes, protocol: bytes, session: Talk) -> SessionConnection:
        """Makes the connection a WebSocket."""
        self._call.switch(accept, protocol)
        switched = SessionConnection(self._api, session)
        switched.early = self._connection.hand_over(switched)
        return switched

    def refuse(self, error: EntrepotError) -> None:
        """An error of our own."""
        self._call.refuse(error)

    def relay_error(self, status: int, error: UpstreamError, retry_after: bytes) -> None:
        """An error of the upstream's."""
        self._call.relay_error(status, error, retry_after)

    def error_body(self, error: EntrepotError) -> bytes:
        """An error of our own, as this API writes it."""
        return openai_error(error).body

    def left(self, outcome: Outcome) -> None:
        """The session is over, or its client was gone before it began."""
        self._call.left(outcome)
