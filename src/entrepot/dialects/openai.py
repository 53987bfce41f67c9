"""OpenAI's wire format: the request fields that decide, what an answer says of itself, errors, the end of a stream.

Fields we do not decide by are never decoded: they pass from the client's body to the upstream's as they were written.
"""

from typing import Final

from entrepot.core.periods import Instant
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.usage_event import Outcome
from entrepot.dialects import openai_usage, shortcuts
from entrepot.dialects.answers import Answers, Said, plain_text, present
from entrepot.dialects.asked import Asked, Fields, encode, flag_of, read_fields, text_of
from entrepot.dialects.asked_text import AskedPlainly, AskedText, options_of
from entrepot.dialects.lifecycle import describe_lifecycle, describe_upgrades
from entrepot.dialects.openai_estimates import estimate_answer
from entrepot.dialects.openai_wire import UpstreamError, decode_answer, decode_error, decode_usage_only
from entrepot.dialects.shortcuts import answered

# What an event of a stream holds when it says more than content. A quote inside JSON text is written \", so none of
# these can be a part of somebody's words; servers differ in the space after the colon.
STREAM_MARKS: Final = (b'"finish_reason":"', b'"prompt_tokens"', b"[DONE]", b'"finish_reason": "', b'"error":')
_asked_for: Final = shortcuts.asked_for  # Bound once; see decisions/0009.


def read_request(body: bytes, media_type: bytes = b"") -> Asked:
    """What the body of a request for text asks for. Raises: InvalidRequest."""
    del media_type
    plain = _asked_for(body)
    if plain is not None:
        model, begins, ends, streams, wants_usage = plain
        return AskedPlainly(body, model, begins, ends, streams, wants_usage)
    fields = read_fields(body)
    stream = "stream" in fields and flag_of(fields, "stream")
    return AskedText(fields, text_of(fields, "model"), stream, stream and _wants_usage(fields), len(body))


def _wants_usage(fields: Fields) -> bool:
    options = options_of(fields)
    return "include_usage" in options and flag_of(options, "include_usage")


_EMPTY = frozenset({b"null", b'""', b"[]", b"{}"})
_NOTHING = Said()
_LAST = Said(is_last=True)


def read_whole(body: bytes) -> Said | None:
    """What a whole answer says, or None when it is no JSON object."""
    plain = answered(body)
    if plain is None:
        return read_answer(body)
    usage, finish, meters, tier = plain
    return Said(usage, finish, meters=meters, tier=tier)


def read_event(data: bytes) -> Said:
    """What an event of a stream says, by its data; nothing, when it cannot be read."""
    if data.strip() == b"[DONE]":
        return _LAST
    return read_answer(data) or _NOTHING


def read_answer(body: bytes) -> Said | None:
    """What a whole answer says, or None when it is no JSON object. Usage is found beside choices of any shape."""
    try:
        answer = decode_answer(body)
    except ValueError:  # Of another shape, or not UTF-8 where we look; its usage may be as it should.
        try:
            told = decode_usage_only(body)
            return Said(usage=present(told.usage), tier=plain_text(told.service_tier))
        except ValueError:
            return None
    except RecursionError:
        return None
    usage = present(answer.usage)
    finish = ""
    has_content = False
    for choice in answer.choices or ():
        finish = choice.finish_reason or finish
        has_content = has_content or bool(choice.text) or _has_words(choice.delta)
    if not answer.choices and present(answer.error):
        finish = "failed"
    tier = plain_text(answer.service_tier)
    return Said(usage, finish, has_content, is_usage_only=bool(usage) and not answer.choices, tier=tier)


def _has_words(delta: Fields | None) -> bool:
    """Whether a delta carries a part of the answer: text, a refusal, a tool call; its role alone is none."""
    return delta is not None and any(name != "role" and bytes(raw) not in _EMPTY for name, raw in delta.items())


TEXT: Final[Answers] = Answers(
    read_whole, openai_usage.meters_of, estimate_answer, marks=STREAM_MARKS, event=read_event
)

_OUTCOMES: Final[dict[str, Outcome]] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "failed": "upstream_failed",
    "error": "upstream_failed",  # what some servers write beside an error object
}


def outcome_of(finish: str) -> Outcome:
    """The outcome of a finish reason; stop for those we do not know, and for answers that have none."""
    return _OUTCOMES.get(finish, "stop")


def read_error(body: bytes) -> UpstreamError:
    """The error an upstream described; without a message when it described none that can be read."""
    try:
        answer = decode_error(body)
    except (ValueError, RecursionError):
        return UpstreamError()
    error = answer.error
    if not isinstance(error, str):
        return error
    detail = answer.detail if isinstance(answer.detail, str) else ""
    return UpstreamError(error or answer.message or detail, answer.type, answer.param, answer.code)


def outcome_of_refusal(body: bytes) -> Outcome:
    """The outcome of a request that the upstream answered with an error."""
    return "content_filter" if read_error(body).code == "content_filter" else "upstream_failed"


def write_error(
    message: str,
    *,
    kind: str | None,
    param: str | None,
    code: str | None,
    more: dict[str, object] | None = None,
    beside: dict[str, object] | None = None,
) -> bytes:
    """An error body; all four members are always there, as OpenAI's schema requires. more: what only we say.

    beside: further members.
    """
    error: dict[str, object] = {"message": message, "type": kind, "param": param, "code": code, **(beside or {})}
    return encode({"error": error if more is None else {**error, "entrepot": more}})


def error_event(body: bytes) -> bytes:
    """An error body as the event of a stream, which makes clients raise."""
    return b"data: " + body + b"\n\n"


def describe_model(deployment: ServedDeployment, at: Instant) -> dict[str, object]:
    """A deployment as an entry of the models list. Deployments have no date of their own, which the schema requires.

    Of a model that is not simply there for all it also says what Azure's list does.
    """
    described: dict[str, object] = {
        "id": deployment.name, "object": "model", "created": 0, "owned_by": deployment.owned_by
    }  # fmt: skip
    if deployment.stage != "general" or deployment.stages:
        return described | describe_lifecycle(deployment, at)
    return described | describe_upgrades(deployment)
