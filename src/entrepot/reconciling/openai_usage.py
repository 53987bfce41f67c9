"""A result of OpenAI's organization usage -> meters that exclude one another, as ours do."""

from collections.abc import Mapping
from typing import Any

_PREFIX, _SUFFIX = "organization.usage.", ".result"

# {kind of result: {its field: our meter}}; completions and what is like them are split below.
_PLAIN = {
    "embeddings": {"input_tokens": "input_tokens"},
    "moderations": {"input_tokens": "input_tokens"},
    "images": {"images": "images"},
    "audio_speeches": {"characters": "characters"},
    "audio_transcriptions": {"seconds": "audio_seconds"},
    "vector_stores": {},
    "code_interpreter_sessions": {},
    "file_search_calls": {"num_requests": "file_search_calls"},
    "web_search_calls": {"num_requests": "web_search_calls"},
}


def meters_of(result: Mapping[str, Any]) -> dict[str, int]:
    """{meter: quantity} without the zeros. Output with its reasoning, which OpenAI's usage does not tell apart.

    Raises: ValueError with a sentence for the user.
    """
    kind = str(result.get("object")).removeprefix(_PREFIX).removesuffix(_SUFFIX)
    if kind == "completions":
        meters = _completions(result)
    elif kind in _PLAIN:
        meters = {meter: _count(result, field) for field, meter in _PLAIN[kind].items()}
    else:
        raise ValueError(f"results of kind {result.get('object')!r} are unknown here")
    below = [meter for meter, quantity in meters.items() if quantity < 0]
    if below:
        model = result.get("model")
        raise ValueError(f"the parts of a result of {model!r} are more than the whole: {', '.join(below)}")
    return {meter: quantity for meter, quantity in meters.items() if quantity}


def _completions(result: Mapping[str, Any]) -> dict[str, int]:
    """input_tokens includes what was cached and what was written to a cache; each includes sound and pictures."""
    cached, written = _count(result, "input_cached_tokens"), _count(result, "input_cache_write_tokens")
    audio, image = _count(result, "input_audio_tokens"), _count(result, "input_image_tokens")
    cached_audio, cached_image = (
        _count(result, "input_cached_audio_tokens"),
        _count(result, "input_cached_image_tokens"),
    )
    out_audio, out_image = _count(result, "output_audio_tokens"), _count(result, "output_image_tokens")
    return {
        "input_tokens": _count(result, "input_tokens") - cached - written - audio - image,
        "cached_input_tokens": cached - cached_audio - cached_image,
        "cache_write_tokens": written,
        "audio_input_tokens": audio,
        "audio_cached_input_tokens": cached_audio,
        "image_input_tokens": image,
        "image_cached_input_tokens": cached_image,
        "output_tokens": _count(result, "output_tokens") - out_audio - out_image,
        "audio_output_tokens": out_audio,
        "image_output_tokens": out_image,
    }


def _count(result: Mapping[str, Any], field: str) -> int:
    value = result.get(field) or 0
    if not isinstance(value, int):
        raise ValueError(f"{field} is {value!r}, not a whole number")  # noqa: TRY004 - for the user
    return value
