"""A request for text, as its client wrote it."""

from typing import Final

import msgspec

from entrepot.core.errors import InvalidRequest
from entrepot.dialects.asked import Asked, Fields, as_raw, encode, read_fields

_ASK_USAGE: Final = b'{"stream_options":{"include_usage":true},'
_NO_FIELDS: Final[Fields] = {}
_decode_options = msgspec.json.Decoder(Fields | None).decode


def options_of(fields: Fields) -> Fields:
    """The stream_options of a request. Raises: InvalidRequest."""
    raw = fields.get("stream_options")
    if raw is None:
        return {}
    try:
        return _decode_options(raw) or {}
    except ValueError:
        raise InvalidRequest("stream_options must be an object.", param="stream_options") from None


class AskedText(Asked):
    """A request whose stream is asked for its usage."""

    __slots__ = ()

    def write(self, model: str, project: str = "") -> bytes:
        """See Asked."""
        if self.stream and not self.wants_usage:
            self.known["stream_options"] = as_raw({**options_of(self.known), "include_usage": True})
        return super().write(model, project)


class AskedPlainly(Asked):
    """A request that a shortcut has read: it goes on as it came, but for the model's name.

    begins, ends: of the model's name, quotes included.
    """

    __slots__ = ("begins", "body", "ends")

    def __init__(self, body: bytes, model: str, begins: int, ends: int, stream: bool, wants_usage: bool) -> None:
        super().__init__(_NO_FIELDS, model, stream, wants_usage, len(body))
        self.body = body
        self.begins = begins
        self.ends = ends

    def write(self, model: str, project: str = "") -> bytes:
        """See Asked."""
        del project
        body = self.body
        if model != self.model:
            body = b"%b%b%b" % (body[: self.begins], encode(model), body[self.ends :])
        if self.stream and not self.wants_usage:
            body = body.replace(b"{", _ASK_USAGE, 1)
        return body

    def all_fields(self) -> Fields:
        """See Asked."""
        return read_fields(self.body)

    @property
    def names_tier(self) -> bool:
        """See Asked; the shortcut reads no request that does."""
        return False

    def at_tier(self, tier: str) -> Asked:
        """See Asked."""
        if tier == "default":
            return self
        known = AskedText(self.all_fields(), self.model, self.stream, self.wants_usage, self.size)
        return known.at_tier(tier)
