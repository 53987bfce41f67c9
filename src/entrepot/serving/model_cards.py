"""What we say about the models that we serve ourselves."""

from dataclasses import dataclass
from typing import Literal

from entrepot.core.errors import DeploymentNotFound


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as its process offers it. context_tokens: prompt and answer together. created: seconds since the epoch.

    temperature, top_p, top_k: used where the caller sets neither temperature nor top_p.
    """

    id: str
    kind: Literal["text", "embedding"]
    context_tokens: int
    owned_by: str
    created: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    system_prompt: str = ""
    dimensions: int = 0


CARDS = {
    card.id: card
    for card in (
        # Sampling as the model's own card recommends it. Its template's system prompt makes it answer "What is the
        # capital of France?" in French and wrongly; with this sentence it says Paris.
        ModelCard(
            id="smollm2-135m",
            kind="text",
            context_tokens=2048,
            owned_by="HuggingFaceTB",
            created=1_730_332_800,  # 31 October 2024, its release
            temperature=0.2,
            top_p=0.9,
            top_k=50,
            system_prompt="You are a helpful assistant.",
        ),
        # 512 positions exist in its weights; it was trained on texts of up to 256 tokens.
        ModelCard(
            id="all-minilm-l6-v2",
            kind="embedding",
            context_tokens=512,
            owned_by="sentence-transformers",
            created=1_630_281_600,  # 30 August 2021, its release
            dimensions=384,
        ),
    )
}


def check_name(card: ModelCard, asked: str) -> None:
    """Nothing when the request is for this model. Raises: DeploymentNotFound."""
    if asked != card.id:
        raise DeploymentNotFound(
            f"The model '{asked}' does not exist here; this process serves '{card.id}'.", param="model"
        )


def listing(card: ModelCard) -> dict[str, object]:
    """The answer to `GET /v1/models`."""
    return {"object": "list", "data": [entry(card)]}


def entry(card: ModelCard) -> dict[str, object]:
    """The answer to `GET /v1/models/{id}`."""
    return {"id": card.id, "object": "model", "created": card.created, "owned_by": card.owned_by}
