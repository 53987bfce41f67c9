"""OpenAI's audio: speech out of text, as bytes of sound or as events; text out of recordings, which come as forms."""

from math import ceil
from typing import Final

import msgspec

from entrepot.dialects.answers import Answers, Said, as_asked, as_told, present
from entrepot.dialects.asked import Asked, read_fields, text_of
from entrepot.dialects.multipart import Form, read_form
from entrepot.dialects.usage_by_medium import meters_of

_SPEECH_MARKS = (b'"speech.audio.done"', b'"error"')
_TRANSCRIPT_MARKS = (b'"transcript.text.done"', b'"transcript.text.segment"', b'"error"')

# Of recordings that do not say how many bytes a second of them has: that of MP3 at 128 kbit/s.
_BYTES_A_SECOND = 16_000
_LAST = frozenset({"speech.audio.done", "transcript.text.done"})


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Transcript(msgspec.Struct, gc=False):
    usage: msgspec.Raw = msgspec.Raw(b"null")
    duration: float | str | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_transcript = msgspec.json.Decoder(_Transcript).decode
_NOTHING = Said()
_CONTENT = Said(has_content=True)


def read_speech(body: bytes, media_type: bytes = b"") -> Asked:
    """What a request for speech asks for. Raises: InvalidRequest."""
    del media_type
    fields = read_fields(body)
    stream = "stream_format" in fields and text_of(fields, "stream_format") == "sse"
    spoken = text_of(fields, "input")
    return Asked(fields, text_of(fields, "model"), stream, stream, len(spoken.encode()), (("characters", len(spoken)),))


def read_recording(body: bytes, media_type: bytes = b"") -> Asked:
    """What a form with a recording asks for. Raises: InvalidRequest."""
    form = read_form(body, media_type)
    return form.asked(size=len(form.text("prompt")), counts=(("audio_seconds", _estimate_seconds(form)),))


def _estimate_seconds(form: Form) -> int:
    """About how long the recordings of a form are, by their bytes; of a WAV file, by what its head says of itself."""
    seconds = 0
    for parts in form.parts.values():
        for part in parts:
            if part.is_file:
                rate = _BYTES_A_SECOND
                head = form.body[part.begins : min(part.begins + 32, part.ends)]
                if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt " and len(head) == 32:
                    rate = int.from_bytes(head[28:32], "little") or rate
                seconds += ceil((part.ends - part.begins) / rate)
    return seconds


def read_event(data: bytes) -> Said:
    """What an event of a stream says; the last one has the usage."""
    try:
        event = _decode_event(data)
    except (ValueError, RecursionError):
        return _NOTHING
    if event.type in _LAST:
        return Said(present(event.usage), "stop", is_last=True)
    return _CONTENT if event.type.endswith(".delta") else _NOTHING


def read_transcript(body: bytes) -> Said | None:
    """What a whole transcript says, or None when it is no JSON object."""
    try:
        return Said(present(_decode_transcript(body).usage))
    except (ValueError, RecursionError):
        return None


def count_seconds(body: bytes) -> int:
    """How long the recording was as the transcript says, rounded up; 0 where it does not."""
    try:
        told = float(_decode_transcript(body).duration or 0)
    except ValueError:
        return 0
    return ceil(told) if 0 < told < 10**9 else 0


def read_sound(body: bytes) -> Said | None:
    """Nothing: sound says nothing of itself, and it is relayed before it is whole."""
    del body
    return None


def speech_meters(usage: bytes) -> dict[str, int]:
    """The meters of a usage object; what comes out is speech. Raises: UsageMismatch."""
    return meters_of(usage, answered_in="audio_")


def transcript_meters(usage: bytes) -> dict[str, int]:
    """The meters of a usage object; what goes in is speech. Raises: UsageMismatch."""
    return meters_of(usage, asked_in="audio_")


SPEECH: Final = Answers(
    read_sound, speech_meters, book=as_asked, marks=_SPEECH_MARKS, event=read_event, relays_bytes=True
)
TRANSCRIPTS: Final = Answers(
    read_transcript,
    transcript_meters,
    count_seconds,
    as_told,
    marks=_TRANSCRIPT_MARKS,
    event=read_event,
    may_be_text=True,
)
