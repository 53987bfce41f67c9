"""OpenAI's wire format: the request fields that decide, what an answer says of itself, errors, the end of a stream.

Fields we do not decide by are never decoded: they pass from the client's body to the upstream's as they were written.
"""

from typing import Final

import msgspec

from entrepot.core.catalog import Operation
from entrepot.core.errors import InvalidRequest, UnsupportedValue
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.usage_event import Outcome

Fields = dict[str, msgspec.Raw]

# Behind the base URL.
PATHS: Final[dict[Operation, str]] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}

# What an event of a stream holds when it says more than content. A quote inside JSON text is written \", so none of
# these can be a part of somebody's words; servers differ in the space after the colon.
STREAM_MARKS: Final = (b'"finish_reason":"', b'"prompt_tokens"', b"[DONE]", b'"finish_reason": "')

_STANDARD_TIERS = frozenset({"auto", "default"})

_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_options = msgspec.json.Decoder(Fields | None).decode
_decode_text = msgspec.json.Decoder(str | None).decode
_decode_flag = msgspec.json.Decoder(bool | None).decode
_encode = msgspec.json.Encoder().encode


class Asked(msgspec.Struct, gc=False):
    """A request as the client wrote it, and what was read of it. wants_usage: it asked for usage in its stream."""

    fields: Fields
    model: str
    stream: bool
    wants_usage: bool


def read_request(body: bytes) -> Asked:
    """What a request body asks for; model is "" when it names none. Raises: InvalidRequest, UnsupportedValue."""
    try:
        fields = _decode_fields(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The request body must be a JSON object: {error}.") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The request body is not valid JSON: {_located(error, body)}.") from None
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.") from None
    if "service_tier" in fields:
        _check_tier(_text(fields, "service_tier"))
    stream = "stream" in fields and _flag(fields, "stream")
    return Asked(fields, _text(fields, "model"), stream, stream and _wants_usage(fields))


def write_request(asked: Asked, model: str) -> bytes:
    """The body for an upstream that knows the model by this name; a stream always asks for its usage.

    A key that the client wrote twice is sent once, so that no upstream can read another model than we did.
    """
    fields = asked.fields
    fields["model"] = _raw(model)
    if asked.stream and not asked.wants_usage:
        fields["stream_options"] = _raw({**_options(fields), "include_usage": True})
    return _encode(fields)


def _located(error: msgspec.DecodeError, body: bytes) -> str:
    """The error's own words, which name the byte; a body that ends too early ends at its length."""
    text = str(error).removeprefix("JSON is malformed: ")
    return text if "(byte" in text else f"it ends too early (byte {len(body)})"


def _check_tier(tier: str) -> None:
    if tier and tier not in _STANDARD_TIERS:
        raise UnsupportedValue(
            f"The service tier {tier[:40]!r} is not offered here; leave service_tier out.", param="service_tier"
        )


def _text(fields: Fields, name: str) -> str:
    raw = fields.get(name)
    if raw is None:
        return ""
    try:
        return _decode_text(raw) or ""
    except msgspec.DecodeError:
        raise InvalidRequest(f"{name} must be a string.", param=name) from None


def _flag(fields: Fields, name: str) -> bool:
    try:
        return _decode_flag(fields[name]) or False
    except msgspec.DecodeError:
        raise InvalidRequest(f"{name} must be true or false.", param=name) from None


def _wants_usage(fields: Fields) -> bool:
    options = _options(fields)
    return "include_usage" in options and _flag(options, "include_usage")


def _options(fields: Fields) -> Fields:
    raw = fields.get("stream_options")
    if raw is None:
        return {}
    try:
        return _decode_options(raw) or {}
    except msgspec.DecodeError:
        raise InvalidRequest("stream_options must be an object.", param="stream_options") from None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))


class Said(msgspec.Struct, frozen=True, gc=False):
    """What an answer or one of its events says. usage: the usage object verbatim, or b"". See relay.usage_tap.Said."""

    usage: bytes = b""
    finish: str = ""
    has_content: bool = False
    is_usage_only: bool = False
    is_last: bool = False


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    delta: Fields | None = None
    text: str | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _UsageOnly(msgspec.Struct, gc=False):
    usage: msgspec.Raw = msgspec.Raw(b"null")


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_usage_only = msgspec.json.Decoder(_UsageOnly).decode
_EMPTY = frozenset({b"null", b'""', b"[]", b"{}"})
_NOTHING = Said()
_LAST = Said(is_last=True)


def read_event(data: bytes) -> Said:
    """What an event of a stream says, by its data; nothing, when it cannot be read."""
    if data.strip() == b"[DONE]":
        return _LAST
    return read_answer(data) or _NOTHING


def read_answer(body: bytes) -> Said | None:
    """What a whole answer says, or None when it is no JSON object. Usage is found beside choices of any shape."""
    try:
        answer = _decode_answer(body)
    except msgspec.ValidationError:
        try:
            return Said(usage=_present(_decode_usage_only(body).usage))
        except msgspec.DecodeError:
            return None
    except (msgspec.DecodeError, RecursionError):
        return None
    usage = _present(answer.usage)
    finish = ""
    has_content = False
    for choice in answer.choices or ():
        finish = choice.finish_reason or finish
        has_content = has_content or bool(choice.text) or _has_words(choice.delta)
    return Said(usage, finish, has_content, is_usage_only=bool(usage) and not answer.choices)


def _present(raw: msgspec.Raw) -> bytes:
    value = bytes(raw)
    return b"" if value == b"null" else value


def _has_words(delta: Fields | None) -> bool:
    """Whether a delta carries a part of the answer: text, a refusal, a tool call; its role alone is none."""
    return delta is not None and any(name != "role" and bytes(raw) not in _EMPTY for name, raw in delta.items())


_OUTCOMES: dict[str, Outcome] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def outcome_of(finish: str) -> Outcome:
    """The outcome of a finish reason; stop for those we do not know, and for answers that have none."""
    return _OUTCOMES.get(finish, "stop")


class UpstreamError(msgspec.Struct, frozen=True):
    """The error object of an upstream's answer, as far as it has one."""

    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _ErrorAnswer(msgspec.Struct):
    error: UpstreamError | str = ""


_decode_error = msgspec.json.Decoder(_ErrorAnswer).decode


def read_error(body: bytes) -> UpstreamError:
    """The error an upstream described; without a message when it described none that can be read."""
    try:
        error = _decode_error(body).error
    except (msgspec.DecodeError, RecursionError):
        return UpstreamError()
    return UpstreamError(error) if isinstance(error, str) else error


def outcome_of_refusal(body: bytes) -> Outcome:
    """The outcome of a request that the upstream answered with an error."""
    return "content_filter" if read_error(body).code == "content_filter" else "upstream_failed"


def write_error(message: str, *, kind: str | None, param: str | None, code: str | None) -> bytes:
    """An error body; all four members are always there, as OpenAI's schema requires."""
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def error_event(body: bytes) -> bytes:
    """An error body as the event of a stream, which makes clients raise."""
    return b"data: " + body + b"\n\n"


def describe_model(deployment: ServedDeployment) -> dict[str, object]:
    """A deployment as an entry of the models list. Deployments have no date of their own, which the schema requires."""
    return {"id": deployment.name, "object": "model", "created": 0, "owned_by": deployment.owned_by}
