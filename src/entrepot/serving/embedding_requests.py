"""Requests for embeddings, and their answers."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from entrepot.core.errors import ContextLengthExceeded, InvalidRequest, UnsupportedValue
from entrepot.serving.fields import Fields, body_of
from entrepot.serving.model_cards import ModelCard, check_name

INPUTS_MAX = 2048  # OpenAI's own limit a request


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A checked request. as_base64: vectors as base64 of little-endian 32-bit floats, else as lists of numbers."""

    texts: tuple[str, ...]
    as_base64: bool


def read_embeddings(raw: bytes, card: ModelCard) -> EmbeddingRequest:
    """A body of `POST /v1/embeddings`. Raises: InvalidRequest, UnsupportedValue, DeploymentNotFound."""
    fields = Fields(body_of(raw))
    check_name(card, fields.required("model", fields.text("model")))
    texts = _texts(fields.required("input", fields.any("input")))
    encoding = fields.text("encoding_format") or "float"
    if encoding not in {"float", "base64"}:
        raise UnsupportedValue("'encoding_format' must be float or base64.", param="encoding_format")
    dimensions = fields.whole("dimensions", 1, 1_000_000)
    if dimensions not in {None, card.dimensions}:
        raise UnsupportedValue(
            f"'dimensions': this model's vectors have {card.dimensions} numbers and cannot be cut.", param="dimensions"
        )
    fields.ignore("user")
    fields.finish()
    return EmbeddingRequest(texts, encoding == "base64")


def check_lengths(token_counts: Sequence[int], card: ModelCard) -> None:
    """Nothing when every text fits the model. Raises: ContextLengthExceeded."""
    for place, count in enumerate(token_counts):
        if count > card.context_tokens:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {card.context_tokens} tokens, however 'input[{place}]' has "
                f"{count}. Please reduce it.",
                param="input",
            )


def embeddings_body(request: EmbeddingRequest, vectors: Sequence[bytes], card: ModelCard, tokens: int) -> bytes:
    """The answer's body."""
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _shown(vector, as_base64=request.as_base64)}
                for index, vector in enumerate(vectors)
            ],
            "model": card.id,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _texts(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("'input' must be a string or a list of strings.", param="input")
    if len(texts) > INPUTS_MAX:
        raise InvalidRequest(f"'input' may have up to {INPUTS_MAX} texts.", param="input")
    if all(isinstance(item, int | list) for item in texts):
        raise UnsupportedValue(
            "'input': token ids of another model's tokenizer mean nothing to this one; send text.", param="input"
        )
    if not all(isinstance(item, str) and item for item in texts):
        raise InvalidRequest("'input' must be text, and no text may be empty.", param="input")
    return tuple(texts)


def _shown(vector: bytes, *, as_base64: bool) -> str | tuple[float, ...]:
    if as_base64:
        return base64.b64encode(vector).decode()
    return struct.unpack(f"<{len(vector) // 4}f", vector)
