"""Answers that are scores: OpenAI's moderations, and rerank as Jina, Cohere and vLLM speak it."""

from decimal import Decimal
from math import ceil
from typing import Final

import msgspec

from entrepot.core.usage_event import QUANTITY_MAX
from entrepot.dialects import openai_usage
from entrepot.dialects.answers import Answers, Said, as_asked, present
from entrepot.dialects.asked import Asked, read_fields, text_of
from entrepot.dialects.openai_usage import UsageMismatch


class _Scores(msgspec.Struct, gc=False):
    usage: msgspec.Raw = msgspec.Raw(b"null")
    meta: msgspec.Raw = msgspec.Raw(b"null")


class _Billed(msgspec.Struct, gc=False):
    search_units: Decimal | None = None
    input_tokens: Decimal | None = None


class _RerankUsage(msgspec.Struct, gc=False):
    total_tokens: int | None = None
    prompt_tokens: int | None = None
    billed_units: _Billed | None = None


_decode_scores = msgspec.json.Decoder(_Scores).decode
_decode_usage = msgspec.json.Decoder(_RerankUsage).decode


def read_moderation(body: bytes, media_type: bytes = b"") -> Asked:
    """What a request for a moderation asks for. Raises: InvalidRequest."""
    del media_type
    fields = read_fields(body)
    return Asked(fields, text_of(fields, "model"), False, False, len(fields.get("input", b"")), (("requests", 1),))


def read_rerank(body: bytes, media_type: bytes = b"") -> Asked:
    """What a request to rerank documents asks for. Raises: InvalidRequest."""
    del media_type
    fields = read_fields(body)
    return Asked(fields, text_of(fields, "model"), False, False, len(body))


def read_answer(body: bytes) -> Said | None:
    """What an answer says, or None when it is no JSON object. Cohere's usage is its meta."""
    try:
        scores = _decode_scores(body)
    except (ValueError, RecursionError):
        return None
    return Said(present(scores.usage) or _billed(present(scores.meta)))


def _billed(meta: bytes) -> bytes:
    return meta if b'"billed_units"' in meta else b""


def rerank_meters(usage: bytes) -> dict[str, int]:
    """The meters of a usage object, or of Cohere's meta: tokens of query and documents, or searches.

    Raises: UsageMismatch.
    """
    try:
        read = _decode_usage(usage)
    except ValueError as error:
        raise UsageMismatch(f"the usage object cannot be read: {error}") from None
    if read.billed_units is not None:
        billed = read.billed_units
        found = {"search_units": billed.search_units, "input_tokens": billed.input_tokens}
        return {meter: _whole(quantity) for meter, quantity in sorted(found.items()) if quantity is not None}
    tokens = read.prompt_tokens if read.prompt_tokens is not None else read.total_tokens
    if tokens is None or read.total_tokens not in {None, tokens}:
        raise UsageMismatch(f"total_tokens is {read.total_tokens}, and prompt_tokens {read.prompt_tokens}")
    return {"input_tokens": _whole(Decimal(tokens))}


def _whole(quantity: Decimal) -> int:
    if not (quantity.is_finite() and 0 <= quantity <= QUANTITY_MAX):
        raise UsageMismatch(f"{quantity} is not a quantity that one request can have")
    return ceil(quantity)


MODERATIONS: Final = Answers(read_answer, openai_usage.meters_of, book=as_asked)
RANKS: Final = Answers(read_answer, rerank_meters)
