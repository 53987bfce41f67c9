"""OpenAI's usage object -> meters that exclude one another and sum to the object's own totals."""

import msgspec

from entrepot.dialects.shortcuts import text_meters


class UsageMismatch(ValueError):
    """A usage object whose parts do not sum to its totals, or that cannot be read; the text says which."""


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int | None = 0
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()
_decode_usage = msgspec.json.Decoder(_Usage).decode
# JSON knows integers of any length and our records those of 64 bits; the parts cannot be more than their whole.
_TOTAL_MAX = 2**63 - 1


def meters_of(usage: bytes) -> dict[str, int]:
    """Units by meter, sorted by name. input_tokens is always there, every other meter only when it is not 0.

    prompt_tokens include what was read from the cache, written to it, heard and seen; completion_tokens include
    reasoning, speech and pictures. Raises: UsageMismatch.
    Source: OpenAI's API description, schema CompletionUsage.
    """
    plain = text_meters(usage)
    if plain is not None:  # Nearly every request.
        return plain
    try:
        read = _decode_usage(usage)
    except ValueError as error:
        raise UsageMismatch(f"the usage object cannot be read: {error}") from None
    completion = read.completion_tokens or 0
    if not (read.prompt_tokens <= _TOTAL_MAX and completion <= _TOTAL_MAX):
        raise UsageMismatch(f"{read.prompt_tokens} and {completion} are more tokens than one request can have")
    asked = read.prompt_tokens_details or _NO_PROMPT_DETAILS
    answered = read.completion_tokens_details or _NO_COMPLETION_DETAILS
    cached, written = asked.cached_tokens or 0, asked.cache_write_tokens or 0
    heard, seen = asked.audio_tokens or 0, asked.image_tokens or 0
    reasoned = answered.reasoning_tokens or 0
    spoken, drawn = answered.audio_tokens or 0, answered.image_tokens or 0
    meters = {
        "audio_input_tokens": heard,
        "audio_output_tokens": spoken,
        "cache_write_tokens": written,
        "cached_input_tokens": cached,
        "image_input_tokens": seen,
        "image_output_tokens": drawn,
        "input_tokens": read.prompt_tokens - cached - written - heard - seen,
        "output_tokens": completion - reasoned - spoken - drawn,
        "reasoning_tokens": reasoned,
    }
    if min(meters.values()) < 0:
        raise UsageMismatch("the parts are more than the whole, or negative")
    _check_total(read, completion)
    return {meter: quantity for meter, quantity in meters.items() if quantity or meter == "input_tokens"}


def _check_total(read: _Usage, completion: int) -> None:
    if read.total_tokens is not None and read.total_tokens != read.prompt_tokens + completion:
        raise UsageMismatch(f"total_tokens is {read.total_tokens}, not {read.prompt_tokens} + {completion}")
