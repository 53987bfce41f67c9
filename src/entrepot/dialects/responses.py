"""OpenAI's Responses: what decides in a request, what an answer and the typed events of a stream say.

A stream ends with one event that carries the whole response, its usage included; there is no [DONE]. Responses are
stored by their upstream, under the key of all our customers. So each is marked there with the project it was made for,
and is known to nobody else; see docs/decisions/0015.
"""

import re
from collections import Counter
from typing import Final

import msgspec

from entrepot.core.errors import UnsupportedValue
from entrepot.core.tokens import TOOL_METERS
from entrepot.dialects.answers import Answers, Said, as_asked, plain_text, present
from entrepot.dialects.asked import Asked, Fields, encode, flag_of, read_fields, text_of
from entrepot.dialects.asked_response import OWNER, AskedResponse, metadata_of
from entrepot.dialects.prompt_estimates import BYTES_PER_TOKEN
from entrepot.dialects.usage_by_medium import meters_of

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)

# The names of events that are no part of the answer end so; all others are counted as a token each.
STREAM_MARKS: Final = (
    b'.done"',
    b'.added"',
    b'.created"',
    b'.queued"',
    b'.in_progress"',
    b'.searching"',
    b'.interpreting"',
    b'.generating"',
    b'.completed"',
    b'.incomplete"',
    b'.failed"',
    b'"error"',
)

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_FAILED = frozenset({"failed", "cancelled"})
# What names things kept under the upstream's key by others than this request, or outlives the answer that is paid for.
_REFUSED: dict[str, str] = {
    "conversation": "send the conversation so far as input, or the id of the last response as previous_response_id",
    "prompt": "send the instructions themselves",
}


def read_request(body: bytes, media_type: bytes = b"") -> Asked:
    """What a request for a response asks for. Raises: InvalidRequest, UnsupportedValue."""
    del media_type
    fields = read_fields(body)
    _refuse_what_outlives(fields)
    stream = "stream" in fields and flag_of(fields, "stream")
    stored = "store" not in fields or fields["store"] == b"null" or flag_of(fields, "store")
    if stored:
        metadata_of(fields)
    previous = text_of(fields, "previous_response_id")
    return AskedResponse(fields, text_of(fields, "model"), stream, len(body), previous, stored=stored)


def read_plain(body: bytes, media_type: bytes = b"") -> Asked:
    """The same of a request that stores nothing: to count its tokens, or to compact it."""
    asked = read_request(body, media_type)
    return Asked(asked.all_fields(), asked.model, False, False, len(body), previous=asked.previous)


def _refuse_what_outlives(fields: Fields) -> None:
    if "background" in fields and flag_of(fields, "background"):
        raise UnsupportedValue(
            "Responses in the background are not offered here, for their usage is known only when they end; "
            "leave background out, and stream long answers.",
            param="background",
        )
    for name, advice in _REFUSED.items():
        if name in fields and fields[name] != b"null":
            raise UnsupportedValue(f"There are no objects of the kind {name} here; {advice}.", param=name)


class _Part(msgspec.Struct, gc=False):
    text: str | None = None
    refusal: str | None = None


class _Action(msgspec.Struct, gc=False):
    type: str | None = None


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    content: list[_Part] | None = None
    arguments: str | None = None
    action: _Action | None = None


class _Reason(msgspec.Struct, gc=False):
    reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    status: str | None = None
    output: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")
    incomplete_details: _Reason | None = None
    service_tier: msgspec.Raw = msgspec.Raw(b"null")


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: _Response | None = None


class _Stored(msgspec.Struct, gc=False):
    metadata: Fields | None = None


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_output = msgspec.json.Decoder(list[_Item] | None).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_stored = msgspec.json.Decoder(_Stored).decode
_NOTHING = Said()
_CONTENT = Said(has_content=True)


def read_event(data: bytes) -> Said:
    """What an event of a stream says, by its data."""
    try:
        event = _decode_event(data)
    except (ValueError, RecursionError):
        return _NOTHING
    if event.type in _LAST and event.response is not None:
        said = _said(event.response)
        said.is_last = True
        said.finish = said.finish or "stop"
        return said
    return _CONTENT if event.type.endswith(".delta") else _NOTHING


def read_answer(body: bytes) -> Said | None:
    """What a whole answer says, or None when it is no JSON object."""
    try:
        return _said(_decode_response(body))
    except (ValueError, RecursionError):
        return None


def read_count(body: bytes) -> Said | None:
    """Nothing, of an answer to how many tokens a request has; None when it is no JSON object."""
    said = read_answer(body)
    return said and _NOTHING


def estimate_answer(body: bytes) -> int:
    """The tokens of a whole answer's text by its size, rounded up."""
    try:
        items = _items(_decode_response(body))
    except (ValueError, RecursionError):
        return 0
    size = 0
    for item in items:
        size += len((item.arguments or "").encode())
        for part in item.content or ():
            size += len(((part.text or "") + (part.refusal or "")).encode())
    return -(-size // BYTES_PER_TOKEN)


def belongs_to(body: bytes, project: str) -> bool:
    """Whether a stored response, as its upstream tells it, was made for the project."""
    try:
        metadata = _decode_stored(body).metadata
    except (ValueError, RecursionError):
        return False
    return metadata is not None and OWNER in metadata and bytes(metadata[OWNER]) == encode(project)


def _said(response: _Response) -> Said:
    items = _items(response)
    tier = plain_text(response.service_tier)
    return Said(present(response.usage), _finish(response, items), also=_calls(items), tier=tier)


def _items(response: _Response) -> list[_Item]:
    """The output; nothing of one that has another shape than we know."""
    try:
        return _decode_output(response.output) or []
    except ValueError:
        return []


def _finish(response: _Response, items: list[_Item]) -> str:
    """In the words of chat completions."""
    if response.status in _FAILED:
        return "failed"
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else None
        return "content_filter" if reason == "content_filter" else "length"
    return "tool_calls" if any(item.type in {"function_call", "custom_tool_call"} for item in items) else ""


def _calls(items: list[_Item]) -> dict[str, int]:
    """Calls of the upstream's own tools, by meter. Of a web search's steps, searching is charged and reading is not."""
    calls = Counter(f"{item.type}s" for item in items if item.action is None or item.action.type in {None, "search"})
    return {meter: calls[meter] for meter in sorted(TOOL_METERS & calls.keys())}


WHOLE: Final = Answers(read_answer, meters_of, estimate_answer, marks=STREAM_MARKS, event=read_event)
COUNT: Final = Answers(read_count, meters_of, book=as_asked)  # Of a request that is only counted, nothing is used.
