"""What a gateway is asked, as the edge has read it."""

from typing import NamedTuple

from entrepot.core.identifiers import Credential
from entrepot.core.periods import Instant
from entrepot.dialects.operations import Operation
from entrepot.flows.serve_inference.stages import Stages


class Ask:
    """A request as read. deployment: "" where the body's model names it.

    To be set where it is so: project, tier, see identity's Directory; media_type, of a body that is not JSON; stages,
    where it is noted how far the request has come, when somebody wants to know.
    """

    __slots__ = (
        "at", "body", "credential", "deployment", "id", "media_type", "operation", "project", "stages", "tier",
    )  # fmt: skip

    def __init__(
        self, request_id: str, at: Instant, operation: Operation, deployment: str, credential: Credential, body: bytes
    ) -> None:
        self.id = request_id
        self.at = at
        self.operation = operation
        self.deployment = deployment
        self.credential = credential
        self.body = body
        self.project = b""
        self.tier = b""
        self.media_type = b""
        self.stages: Stages | None = None


class SessionAsk(NamedTuple):
    """A request for a realtime session as read. key, protocols, fields: see relay.upgrade.Upgrade."""

    id: str
    at: Instant
    deployment: str
    credential: Credential
    key: bytes
    protocols: bytes
    fields: bytes
