"""The usage object of responses, images and audio -> meters that exclude one another and sum to its totals.

It counts what went in and what came out, each by medium where it says so; recordings may be counted by their length.
Source: OpenAI's API description, schemas ResponseUsage, ImagesUsage, TranscriptTextUsageTokens and -Duration.
"""

from decimal import Decimal
from math import ceil
from typing import Literal

import msgspec

from entrepot.core.usage_event import QUANTITY_MAX
from entrepot.dialects.openai_usage import UsageMismatch

Medium = Literal["", "audio_", "image_"]


class _Details(msgspec.Struct, gc=False):
    text_tokens: int | None = None
    image_tokens: int | None = 0
    audio_tokens: int | None = 0
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _Details | None = None
    input_token_details: _Details | None = None  # As transcriptions spell it.
    output_tokens_details: _Details | None = None
    output_token_details: _Details | None = None
    seconds: Decimal | None = None


_NO_DETAILS = _Details()
_decode = msgspec.json.Decoder(_Usage).decode


def meters_of(usage: bytes, *, asked_in: Medium = "", answered_in: Medium = "") -> dict[str, int]:
    """Units by meter, sorted by name, without those of nothing; input_tokens where there would be none.

    asked_in, answered_in: the medium of what the object does not tell by medium. Raises: UsageMismatch.
    """
    try:
        read = _decode(usage)
    except ValueError as error:
        raise UsageMismatch(f"the usage object cannot be read: {error}") from None
    if read.seconds is not None and read.input_tokens is None:
        return {"audio_seconds": _whole(read.seconds)}
    if read.input_tokens is None and read.output_tokens is None:
        raise UsageMismatch("the usage object has neither tokens nor seconds")
    asked, answered = read.input_tokens or 0, read.output_tokens or 0
    if read.total_tokens is not None and read.total_tokens != asked + answered:
        raise UsageMismatch(f"total_tokens is {read.total_tokens}, not {asked} + {answered}")
    ins = read.input_tokens_details or read.input_token_details or _NO_DETAILS
    outs = read.output_tokens_details or read.output_token_details or _NO_DETAILS
    meters = {
        "cached_input_tokens": ins.cached_tokens or 0,
        "cache_write_tokens": ins.cache_write_tokens or 0,
        "reasoning_tokens": outs.reasoning_tokens or 0,
    }
    of_input = meters["cached_input_tokens"] + meters["cache_write_tokens"]
    meters |= _side(asked, of_input, ins, "input_tokens", asked_in)
    meters |= _side(answered, meters["reasoning_tokens"], outs, "output_tokens", answered_in)
    if min(meters.values()) < 0 or max(meters.values()) > QUANTITY_MAX:
        raise UsageMismatch("the parts are more than the whole, negative, or more than one request can have")
    return {meter: meters[meter] for meter in sorted(meters) if meters[meter]} or {"input_tokens": 0}


def _side(total: int, told: int, details: _Details, meter: str, medium: Medium) -> dict[str, int]:
    """One side of the usage by medium; what is left is text, or of the medium where the details name none at all.

    told: how many of the total have a meter of their own already.
    """
    seen, heard = details.image_tokens or 0, details.audio_tokens or 0
    if details.text_tokens is not None and details.text_tokens + seen + heard != total:
        raise UsageMismatch(f"{meter} are {total}, not {details.text_tokens} + {seen} + {heard}")
    parts = {f"image_{meter}": seen, f"audio_{meter}": heard}
    names_one = details.text_tokens is not None or seen or heard
    rest = meter if names_one else f"{medium}{meter}"
    parts[rest] = parts.get(rest, 0) + total - told - seen - heard
    return parts


def _whole(seconds: Decimal) -> int:
    """Seconds, a part of one counted as one."""
    if not (seconds.is_finite() and 0 <= seconds <= QUANTITY_MAX):
        raise UsageMismatch(f"{seconds} is not the length of a recording")
    return ceil(seconds)
