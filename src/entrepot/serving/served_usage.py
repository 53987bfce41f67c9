"""What a request took, added up and shown as OpenAI's usage object."""

from collections.abc import Iterable

import msgspec

from entrepot.core.errors import NotFound
from entrepot.ports.model_engine import Ending, Served, ServedState


def served_by(endings: Iterable[Ending], state: ServedState, *, per_prompt: int = 1) -> Served:
    """The sum over a request's generations. A prompt is counted once, though each of its choices read it.

    per_prompt: choices of a prompt; endings come prompt after prompt.
    """
    endings = list(endings)
    groups = [endings[start : start + per_prompt] for start in range(0, len(endings), per_prompt)]
    return Served(
        state=state,
        prompt_tokens=sum(max(ending.prompt_tokens for ending in group) for group in groups),
        output_tokens=sum(ending.output_tokens for ending in endings),
        cached_tokens=sum(min(ending.cached_tokens for ending in group) for group in groups),
    )


def usage_of(served: Served) -> dict[str, object]:
    """OpenAI's usage object of a completion."""
    return {
        "prompt_tokens": served.prompt_tokens,
        "completion_tokens": served.output_tokens,
        "total_tokens": served.prompt_tokens + served.output_tokens,
        "prompt_tokens_details": {"cached_tokens": served.cached_tokens},
    }


def usage_body(request_id: str, served: Served | None) -> bytes:
    """The answer to `GET /v1/usage/{id}`. Raises: NotFound when the request never came here."""
    if served is None:
        raise NotFound(f"No request with id '{request_id}' came here.", param="request_id")
    return msgspec.json.encode({"id": request_id, "state": served.state, "usage": usage_of(served)})
