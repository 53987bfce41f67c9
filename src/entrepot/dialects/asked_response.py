"""A request for a response (OpenAI's Responses), as its client wrote it."""

from typing import Final

import msgspec

from entrepot.core.errors import InvalidRequest
from entrepot.dialects.asked import Asked, Fields, as_raw

OWNER: Final = "entrepot_project"  # The key in a stored response's metadata that names its project.

_decode_metadata = msgspec.json.Decoder(Fields | None).decode


class AskedResponse(Asked):
    """A request for a response; stored: the upstream will keep it."""

    __slots__ = ("stored",)

    def __init__(self, known: Fields, model: str, stream: bool, size: int, previous: str, *, stored: bool) -> None:
        super().__init__(known, model, stream, stream, size, previous=previous)
        self.stored = stored

    def write(self, model: str, project: str = "") -> bytes:
        """See Asked; what will be stored is marked with its project."""
        if self.stored:
            self.known["metadata"] = as_raw({**metadata_of(self.known), OWNER: project})
        return super().write(model, project)


def metadata_of(fields: Fields) -> Fields:
    """The metadata of a request. Raises: InvalidRequest."""
    raw = fields.get("metadata")
    if raw is None:
        return {}
    try:
        return _decode_metadata(raw) or {}
    except ValueError:
        raise InvalidRequest("metadata must be an object.", param="metadata") from None
