"""The shapes that OpenAI's wire format is decoded into; see openai.py, which is compiled where these cannot be."""

import msgspec

from entrepot.core.errors import InvalidRequest
from entrepot.dialects.asked import Asked, Fields, as_raw, encode, read_fields

_ASK_USAGE = b'{"stream_options":{"include_usage":true},'
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


class AskedText(Asked, gc=False):
    """A request for text, whose stream is asked for its usage."""

    def write(self, model: str, project: str = "") -> bytes:
        """See Asked."""
        if self.stream and not self.wants_usage:
            self.known["stream_options"] = as_raw({**options_of(self.known), "include_usage": True})
        return Asked.write(self, model, project)


class AskedPlainly(Asked, gc=False):
    """A request for text that a shortcut has read: it goes on as it came, but for the model's name.

    begins, ends: of the model's name, quotes included.
    """

    body: bytes = b""
    begins: int = 0
    ends: int = 0

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

    def at_tier(self, tier: str) -> Asked:
        """See Asked; the shortcut reads no request that names one."""
        if tier == "default":
            return self
        known = AskedText(self.all_fields(), self.model, self.stream, self.wants_usage, self.size)
        return known.at_tier(tier)


class Choice(msgspec.Struct, gc=False):
    """One of an answer, or of an event of a stream."""

    finish_reason: str | None = None
    delta: Fields | None = None
    text: str | None = None


class Answer(msgspec.Struct, gc=False):
    """A whole answer, or an event."""

    choices: list[Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class UsageOnly(msgspec.Struct, gc=False):
    """An answer whose choices have another shape."""

    usage: msgspec.Raw = msgspec.Raw(b"null")


decode_answer = msgspec.json.Decoder(Answer).decode
decode_usage_only = msgspec.json.Decoder(UsageOnly).decode


class UpstreamError(msgspec.Struct, frozen=True):
    """The error object of an upstream's answer, as far as it has one.

    innererror, inner_error: what Azure says of its content filter, which writes it in one way or the other.
    """

    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None
    innererror: msgspec.Raw = msgspec.Raw()
    inner_error: msgspec.Raw = msgspec.Raw()


class ErrorAnswer(msgspec.Struct):
    """The body of an error."""

    error: UpstreamError | str = ""


decode_error = msgspec.json.Decoder(ErrorAnswer).decode
