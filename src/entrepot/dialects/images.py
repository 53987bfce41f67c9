"""OpenAI's images: generations as JSON, edits and variations as forms; counted in tokens, or else in pictures."""

from typing import Final

import msgspec

from entrepot.core.errors import InvalidRequest, UnsupportedValue
from entrepot.dialects.answers import MIB, Answers, Said, as_answered, present
from entrepot.dialects.asked import Asked, Known, flag_of, number_of, read_fields, text_of
from entrepot.dialects.multipart import read_form
from entrepot.dialects.usage_by_medium import meters_of

_EVENT_BYTES_MAX: Final = 64 * MIB  # A picture of 4096 by 4096 dots in base64, as large as it can get.
_PICTURES_MAX = 1000  # Of one request; OpenAI gives 10.
_COMPLETED = frozenset({"image_generation.completed", "image_edit.completed"})


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Answer(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_NOTHING = Said()


def read_generation(body: bytes, media_type: bytes = b"") -> Asked:
    """What a request for pictures asks for. Raises: InvalidRequest, UnsupportedValue."""
    del media_type
    fields = read_fields(body)
    stream = "stream" in fields and flag_of(fields, "stream")
    counts = _pictures(number_of(fields, "n"), stream=stream)
    return Asked(fields, text_of(fields, "model"), stream, stream, len(fields.get("prompt", b"")), counts)


def read_edit(body: bytes, media_type: bytes = b"") -> Asked:
    """What a form with pictures asks for: an edit, or a variation, which has no prompt. Raises: InvalidRequest."""
    form = read_form(body, media_type)
    counts = _pictures(form.number("n"), stream=form.flag("stream"))
    return form.asked(size=len(form.text("prompt")), counts=counts)


def _pictures(number: int | None, *, stream: bool) -> Known:
    if number is not None and not 1 <= number <= _PICTURES_MAX:
        raise InvalidRequest(f"n must be a whole number from 1 to {_PICTURES_MAX}.", param="n")
    if stream and number not in {None, 1}:
        raise UnsupportedValue("Pictures are streamed one at a time here: leave n out, or stream.", param="n")
    return (("images", 1 if number is None else number),)


def read_event(data: bytes) -> Said:
    """What an event of a stream says; the last one has the picture, and its usage."""
    try:
        event = _decode_event(data)
    except (ValueError, RecursionError):
        return _NOTHING
    if event.type in _COMPLETED:
        return Said(present(event.usage), "stop", has_content=True, is_last=True)
    return _NOTHING


def read_answer(body: bytes) -> Said | None:
    """What a whole answer says, or None when it is no JSON object."""
    try:
        return Said(present(_decode_answer(body).usage))
    except (ValueError, RecursionError):
        return None


def count_pictures(body: bytes) -> int:
    """How many pictures a whole answer holds."""
    return len(_decode_answer(body).data or ())


def image_meters(usage: bytes) -> dict[str, int]:
    """The meters of a usage object; what comes out are pictures. Raises: UsageMismatch."""
    return meters_of(usage, answered_in="image_")


# Every event of a stream is looked at: there are few, and what they hold are pictures, not words.
PICTURES: Final = Answers(
    read_answer, image_meters, count_pictures, as_answered, event=read_event, event_bytes_max=_EVENT_BYTES_MAX
)
