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


_decode = msgspec.json.Decoder(_Usage).decode


def meters_of(usage: bytes, *, asked_in: Medium = "", answered_in: Medium = "") -> dict[str, int]:
    """Units by meter, sorted by name, without those of nothing; input_tokens where there would be none.

    asked_in, answered_in: the medium of what the object does not tell by medium. Raises: UsageMismatch.
    """
    try:
        read = _decode(usage)
    except msgspec.DecodeError as error:
        raise UsageMismatch(f"the usage object cannot be read: {error}") from None
    if read.seconds is not None and read.input_tokens is None:
        return {"audio_seconds": _whole(read.seconds)}
    if read.input_tokens is None and read.output_tokens is None:
        raise UsageMismatch("the usage object has neither tokens nor seconds")
    asked, answered = read.input_tokens or 0, read.output_tokens or 0
    if read.total_tokens is not None and read.total_tokens != asked + answered:
        raise UsageMismatch(f"total_tokens is {read.total_tokens}, not {asked} + {answered}")
    meters = _side(asked, read.input_tokens_details or read.input_token_details, "input_tokens", asked_in)
    meters |= _side(answered, read.output_tokens_details or read.output_token_details, "output_tokens", answered_in)
    if min(meters.values()) < 0 or max(meters.values()) > QUANTITY_MAX:
        raise UsageMismatch("the parts are more than the whole, negative, or more than one request can have")
    return {meter: meters[meter] for meter in sorted(meters) if meters[meter]} or {"input_tokens": 0}


def _side(total: int, details: _Details | None, meter: str, medium: Medium) -> dict[str, int]:
    """One side of the usage; what the details leave is text, or of the medium where they name none at all."""
    if details is None:
        return {f"{medium}{meter}": total}
    seen, heard = details.image_tokens or 0, details.audio_tokens or 0
    if details.text_tokens is not None and details.text_tokens + seen + heard != total:
        raise UsageMismatch(f"{meter} are {total}, not {details.text_tokens} + {seen} + {heard}")
    told = details.text_tokens is not None or seen or heard
    rest = meter if told else f"{medium}{meter}"
    parts = {
        "cached_input_tokens": details.cached_tokens or 0,
        "cache_write_tokens": details.cache_write_tokens or 0,
        "reasoning_tokens": details.reasoning_tokens or 0,
        f"image_{meter}": seen,
        f"audio_{meter}": heard,
    }
    left = total - sum(parts.values())
    parts[rest] = parts.get(rest, 0) + left
    return parts


def _whole(seconds: Decimal) -> int:
    """Seconds, a part of one counted as one."""
    if not 0 <= seconds <= QUANTITY_MAX:
        raise UsageMismatch(f"{seconds} is no length of a recording")
    return ceil(seconds)
