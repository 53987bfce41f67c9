"""OpenAI's realtime shape: what a WebSocket is asked for with, and the few server events that say more than content.

Source: OpenAI's API description, RealtimeServerEventResponseCreated, …ResponseDone, RealtimeResponse, and
…ConversationItemInputAudioTranscriptionCompleted; Azure's addresses in its realtime reference.
"""

from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from entrepot.core.errors import InvalidRequest, UnsupportedValue
from entrepot.core.usage_event import QUANTITY_MAX, Outcome
from entrepot.dialects import usage_by_medium
from entrepot.dialects.openai_usage import UsageMismatch

PATH: Final = "/realtime"
TRANSCRIPTION: Final = "transcription"  # What it used is named after: the recording was read by another model.

_CREATED = "response.created"
_DONE = "response.done"
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
# What an event holds when it is one to read: a whole string, and so no part of somebody's words.
MARKS: Final = tuple(f'"{name}"'.encode() for name in (_DONE, _CREATED, _TRANSCRIBED))
PART: Final = b'.delta"'  # Ends the type of an event that carries a part of an answer.

_KNOWN_PARAMETERS = frozenset({"model", "deployment", "api-version"})
_KEY_PROTOCOL = "openai-insecure-api-key."


def deployment_asked(query: bytes) -> str:
    """The deployment that a query names, as model or as deployment.

    Raises: InvalidRequest without one; UnsupportedValue for a parameter that would change what is asked for, such as
    a call to join, which could be anybody's.
    """
    said = dict(parse_qsl(query.decode("ascii", "replace"), keep_blank_values=True))
    for name in sorted(said.keys() - _KNOWN_PARAMETERS):
        raise UnsupportedValue(f"The query parameter {name[:40]!r} is not offered here; leave it out.", param=name[:40])
    name = said.get("deployment") or said.get("model", "")
    if not name:
        raise InvalidRequest("model is missing in the query; it names the deployment to use.", param="model")
    return name


def split_protocols(offered: bytes) -> tuple[bytes, bytes]:
    """(the key that a browser, which can send no header, puts among its protocols, the other protocols)."""
    key, others = "", []
    for word in offered.decode("ascii", "replace").split(","):
        protocol = word.strip()
        if protocol.startswith(_KEY_PROTOCOL):
            key = protocol.removeprefix(_KEY_PROTOCOL)
        elif protocol:
            others.append(protocol)
    return key.encode(), ", ".join(others).encode()


class Event(NamedTuple):
    """A server event that tells of a response, or of what transcribing used.

    id: the response's; usage: as written; is_free: what was used is not charged.
    """

    kind: Literal["created", "done", "transcribed"]
    id: str = ""
    outcome: Outcome = "stop"
    usage: bytes = b""
    is_free: bool = False


class _Details(msgspec.Struct, gc=False):
    reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    id: str | None = None
    status: str | None = None
    status_details: _Details | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: _Response | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Type(msgspec.Struct, gc=False):
    type: str = ""


_decode = msgspec.json.Decoder(_Event).decode
_decode_type = msgspec.json.Decoder(_Type).decode
_NO_RESPONSE = _Response()
_INCOMPLETE: dict[str, Outcome] = {"content_filter": "content_filter"}


def read_event(message: bytes) -> Event | None:
    """What a message says that holds a mark; None when it is another event after all. Unreadable usage is kept."""
    try:
        event = _decode(message)
    except (msgspec.DecodeError, RecursionError):
        return _read_oddly(message)
    response = event.response or _NO_RESPONSE
    if event.type == _CREATED:
        return Event("created", response.id or "")
    if event.type == _DONE:
        return Event("done", response.id or "", _outcome_of(response), _present(response.usage))
    if event.type == _TRANSCRIBED and (usage := _present(event.usage)):
        return Event("transcribed", usage=usage)
    return None


def _read_oddly(message: bytes) -> Event | None:
    """An event of a shape that is none of ours: its end still counts, and its text is kept where usage would be."""
    try:
        named = _decode_type(message).type
    except (msgspec.DecodeError, RecursionError):
        return None
    return Event("done", usage=message) if named == _DONE else None


def _outcome_of(response: _Response) -> Outcome:
    if response.status == "failed":
        return "upstream_failed"
    if response.status == "incomplete":
        reason = response.status_details.reason if response.status_details else ""
        return _INCOMPLETE.get(reason or "", "length")
    return "stop"


def _present(raw: msgspec.Raw) -> bytes:
    value = bytes(raw)
    return b"" if value == b"null" else value


class _ByMedium(msgspec.Struct, gc=False):
    text_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class _Input(_ByMedium, gc=False):
    cached_tokens: int | None = 0
    cached_tokens_details: _ByMedium | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int
    output_tokens: int
    total_tokens: int | None = None
    input_token_details: _Input | None = None
    output_token_details: _ByMedium | None = None


_decode_usage = msgspec.json.Decoder(_Usage).decode


def meters_of(usage: bytes) -> dict[str, int]:
    """Units by meter of a response's usage, sorted by name, without those of nothing; input_tokens is always there.

    What was cached is told by medium, and is a part of that medium; where it is not, it was text.
    Raises: UsageMismatch.
    """
    try:
        read = _decode_usage(usage)
    except msgspec.DecodeError as error:
        raise UsageMismatch(f"the usage object cannot be read: {error}") from None
    if read.total_tokens is not None and read.total_tokens != read.input_tokens + read.output_tokens:
        raise UsageMismatch(f"total_tokens is {read.total_tokens}, not {read.input_tokens} + {read.output_tokens}")
    asked = read.input_token_details or _Input(text_tokens=read.input_tokens)
    answered = read.output_token_details or _ByMedium(text_tokens=read.output_tokens)
    cached = asked.cached_tokens_details or _ByMedium(text_tokens=asked.cached_tokens)
    meters: dict[str, int] = {}
    for medium, heard, known, said in zip(
        ("", "audio_", "image_"), _parts(asked), _parts(cached), _parts(answered), strict=True
    ):
        meters[f"{medium}input_tokens"] = heard - known
        meters[f"{medium}cached_input_tokens"] = known
        meters[f"{medium}output_tokens"] = said
    _check(sum(_parts(asked)), read.input_tokens, "input_tokens")
    _check(sum(_parts(answered)), read.output_tokens, "output_tokens")
    _check(sum(_parts(cached)), asked.cached_tokens or 0, "cached_tokens")
    if min(meters.values()) < 0 or max(meters.values()) > QUANTITY_MAX:
        raise UsageMismatch("the parts are more than the whole, negative, or more than one response can have")
    return {meter: meters[meter] for meter in sorted(meters) if meters[meter] or meter == "input_tokens"}


def transcription_meters(usage: bytes) -> dict[str, int]:
    """Units by meter of what transcribing a recording used. Raises: UsageMismatch."""
    return usage_by_medium.meters_of(usage, asked_in="audio_")


def _parts(tokens: _ByMedium) -> tuple[int, int, int]:
    return tokens.text_tokens or 0, tokens.audio_tokens or 0, tokens.image_tokens or 0


def _check(parts: int, total: int, name: str) -> None:
    if parts != total:
        raise UsageMismatch(f"{name} are {total}, and their parts {parts}")


def cancel(response: str) -> bytes:
    """The event that ends a response, which its server then reports as done."""
    return msgspec.json.encode({"type": "response.cancel", "response_id": response})


class _ErrorBody(msgspec.Struct, gc=False):
    error: msgspec.Raw


_decode_error = msgspec.json.Decoder(_ErrorBody).decode


def error_event(body: bytes) -> bytes:
    """The event that says what an error's body does."""
    error = bytes(_decode_error(body).error)
    return b'{"type":"error","event_id":"entrepot-limit","error":%b}' % error


# The event that ends whatever response has begun meanwhile. A server that knows of none answers with an error that
# names the event; either way it has then heard all that its client said.
LAST_WORD: Final = b'{"type":"response.cancel","event_id":"entrepot-last-word"}'
LAST_MARK: Final = b'"entrepot-last-word"'
