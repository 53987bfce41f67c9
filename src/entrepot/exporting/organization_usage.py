"""Usage as OpenAI tells it to an organization: which meters which of its pages is about, and what it calls them.

Source: OpenAI's OpenAPI description, version 2.3.0, /organization/usage/*.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from entrepot.core.tokens import INPUT_METERS, OUTPUT_METERS, TOKEN_METERS

UsageKind = Literal[
    "completions",
    "embeddings",
    "moderations",
    "images",
    "audio_speeches",
    "audio_transcriptions",
    "vector_stores",
    "code_interpreter_sessions",
    "file_search_calls",
    "web_search_calls",
]
USAGE_KINDS: tuple[UsageKind, ...] = get_args(UsageKind)

Meters = Mapping[str, int]

_CACHED = tuple(meter for meter in INPUT_METERS if "cached_input" in meter)
_WRITTEN = tuple(meter for meter in INPUT_METERS if "cache_write" in meter)
# {meter that is not of tokens: its page}
_OF_METER: dict[str, UsageKind] = {
    "images": "images",
    "characters": "audio_speeches",
    "audio_seconds": "audio_transcriptions",
    "code_interpreter_calls": "code_interpreter_sessions",
    "file_search_calls": "file_search_calls",
    "web_search_calls": "web_search_calls",
}
_OF_REQUESTS = ("requests", "search_units", "image_generation_calls")


class Page(NamedTuple):
    """What one page is about. fields: {name of a sum: the meters it is of}. requests: where their number is told."""

    result: str
    fields: dict[str, tuple[str, ...]]
    group_by: tuple[str, ...] = ("project_id", "user_id", "api_key_id", "model")
    requests: str = "num_model_requests"


_BY_PROJECT = ("project_id",)
PAGES: dict[UsageKind, Page] = {
    "completions": Page(
        "organization.usage.completions.result",
        {
            "input_tokens": INPUT_METERS,
            "input_cached_tokens": _CACHED,
            "input_cache_write_tokens": _WRITTEN,
            "input_uncached_tokens": tuple(sorted(set(INPUT_METERS) - set(_CACHED) - set(_WRITTEN))),
            "output_tokens": OUTPUT_METERS,
            "input_text_tokens": ("input_tokens",),
            "output_text_tokens": ("output_tokens", "reasoning_tokens"),
            "input_cached_text_tokens": ("cached_input_tokens",),
            "input_audio_tokens": ("audio_input_tokens",),
            "input_cached_audio_tokens": ("audio_cached_input_tokens",),
            "output_audio_tokens": ("audio_output_tokens", "audio_reasoning_tokens"),
            "input_image_tokens": ("image_input_tokens",),
            "input_cached_image_tokens": ("image_cached_input_tokens",),
            "output_image_tokens": ("image_output_tokens", "image_reasoning_tokens"),
        },
        ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier"),
    ),
    "embeddings": Page("organization.usage.embeddings.result", {"input_tokens": INPUT_METERS}),
    "moderations": Page("organization.usage.moderations.result", {"input_tokens": INPUT_METERS}),
    "images": Page(
        "organization.usage.images.result",
        {"images": ("images",)},
        ("project_id", "user_id", "api_key_id", "model", "size", "source"),
    ),
    "audio_speeches": Page("organization.usage.audio_speeches.result", {"characters": ("characters",)}),
    "audio_transcriptions": Page("organization.usage.audio_transcriptions.result", {"seconds": ("audio_seconds",)}),
    "vector_stores": Page("organization.usage.vector_stores.result", {"usage_bytes": ()}, _BY_PROJECT, ""),
    "code_interpreter_sessions": Page(
        "organization.usage.code_interpreter_sessions.result",
        {"num_sessions": ("code_interpreter_calls",)},
        _BY_PROJECT,
        "",
    ),
    "file_search_calls": Page(
        "organization.usage.file_searches.result",
        {"num_requests": ("file_search_calls",)},
        ("project_id", "user_id", "api_key_id", "vector_store_id"),
        "",
    ),
    "web_search_calls": Page(
        "organization.usage.web_searches.result",
        {"num_requests": ("web_search_calls",)},
        ("project_id", "user_id", "api_key_id", "model", "context_level"),
    ),
}


def kind_of(meter: str, operations: Sequence[str]) -> UsageKind | None:
    """The page that tells of a meter. operations: what the model can be asked, as far as it is declared.

    None of what is not asked for by requests: seats, provisioned units.
    """
    if meter in _OF_METER:
        return _OF_METER[meter]
    if meter in TOKEN_METERS or meter in _OF_REQUESTS:
        first = operations[0] if operations else ""
        return "embeddings" if first == "embeddings" else "moderations" if first == "moderations" else "completions"
    return None


def sums_of(kind: UsageKind, meters: Meters, requests: int) -> dict[str, int]:
    """The sums of a result, each under its name."""
    page = PAGES[kind]
    sums = {name: sum(meters.get(meter, 0) for meter in of) for name, of in page.fields.items()}
    return {**sums, page.requests: requests} if page.requests else sums
