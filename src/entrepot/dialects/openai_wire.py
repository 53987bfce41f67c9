"""The shapes that OpenAI's wire format is decoded into; see openai.py, which is compiled where these cannot be."""

import msgspec

from entrepot.dialects.asked import Fields


class Choice(msgspec.Struct, gc=False):
    """One of an answer, or of an event of a stream."""

    finish_reason: str | None = None
    delta: Fields | None = None
    text: str | None = None


class Answer(msgspec.Struct, gc=False):
    """A whole answer, or an event."""

    choices: list[Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")


class UsageOnly(msgspec.Struct, gc=False):
    """An answer whose choices have another shape."""

    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")


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
    """The body of an error. The others: as servers write it who have no object for it (vLLM's older ones, FastAPI)."""

    error: UpstreamError | str = ""
    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None
    detail: object = None


decode_error = msgspec.json.Decoder(ErrorAnswer).decode
