"""What can be asked of a model: one row for each operation, with all that tells it from the others.

A new operation is a row here, readers for its requests and answers, an entry in core/catalog, and its routes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from entrepot.core import catalog
from entrepot.dialects import audio, images, openai, responses, scores
from entrepot.dialects.answers import MIB, Answers
from entrepot.dialects.asked import Asked
from entrepot.dialects.prompt_estimates import estimate_prompt, estimate_texts


@dataclass(frozen=True, slots=True)
class Operation:
    """How an operation is asked for and answered.

    path: behind an upstream's base URL. offered: what a model must offer for it. read: (body, its media type) -> what
    decides. model_optional: the API lets the model be left out. is_form: a request is a form. is_list: it may ask about
    many texts, each of which may fill the context. body_bytes_max: of a request.
    """

    name: str
    path: str
    offered: catalog.Operation
    read: Callable[[bytes, bytes], Asked]
    answers: Answers
    model_optional: bool = False
    is_form: bool = False
    is_list: bool = False
    body_bytes_max: int = 16 * MIB

    def estimate(self, size: int, context_tokens: int) -> int:
        """The tokens of a prompt of so many bytes."""
        return estimate_texts(size) if self.is_list else estimate_prompt(size, context_tokens)


_PICTURES_MAX = 52 * MIB  # OpenAI takes pictures of up to 50 MB,
_RECORDING_MAX = 26 * MIB  # and recordings of up to 25 MB; a form adds a little.

_ROWS = (
    Operation("chat", "/chat/completions", "chat", openai.read_request, openai.TEXT),
    Operation("completions", "/completions", "completions", openai.read_request, openai.TEXT),
    Operation("embeddings", "/embeddings", "embeddings", openai.read_request, openai.TEXT, is_list=True),
    Operation("responses", "/responses", "responses", responses.read_request, responses.WHOLE, model_optional=True),
    Operation(
        "compact_response",
        "/responses/compact",
        "responses",
        responses.read_plain,
        responses.WHOLE,
        model_optional=True,
    ),
    Operation(
        "count_response",
        "/responses/input_tokens",
        "responses",
        responses.read_plain,
        responses.COUNT,
        model_optional=True,
    ),
    Operation("images", "/images/generations", "images", images.read_generation, images.PICTURES, model_optional=True),
    Operation(
        "image_edits",
        "/images/edits",
        "image_edits",
        images.read_edit,
        images.PICTURES,
        model_optional=True,
        is_form=True,
        body_bytes_max=_PICTURES_MAX,
    ),
    Operation(
        "image_variations",
        "/images/variations",
        "image_variations",
        images.read_edit,
        images.PICTURES,
        model_optional=True,
        is_form=True,
        body_bytes_max=_PICTURES_MAX,
    ),
    Operation("speech", "/audio/speech", "speech", audio.read_speech, audio.SPEECH),
    Operation(
        "transcriptions",
        "/audio/transcriptions",
        "transcriptions",
        audio.read_recording,
        audio.TRANSCRIPTS,
        is_form=True,
        body_bytes_max=_RECORDING_MAX,
    ),
    Operation(
        "translations",
        "/audio/translations",
        "translations",
        audio.read_recording,
        audio.TRANSCRIPTS,
        is_form=True,
        body_bytes_max=_RECORDING_MAX,
    ),
    Operation(
        "moderations",
        "/moderations",
        "moderations",
        scores.read_moderation,
        scores.MODERATIONS,
        model_optional=True,
        is_list=True,
    ),
    Operation("rerank", "/rerank", "rerank", scores.read_rerank, scores.RANKS, is_list=True),
)

OPERATIONS: Final[dict[str, Operation]] = {row.name: row for row in _ROWS}
PATHS: Final = tuple(row.path for row in _ROWS)
