"""Which deployment a name means, and which upstream is tried first."""

import pytest

from entrepot.core.errors import (
    DeploymentNotFound,
    EntrepotError,
    ModelRetired,
    OperationNotSupported,
)
from entrepot.core.snapshot import ServedProject
from entrepot.routing.plan import deployment_for
from tests.support.gateway import deployment

PROJECT = ServedProject(
    "search",
    "acme",
    {
        "chat": deployment("chat"),
        "embed": deployment("embed", operations=("embeddings",)),
        "old": deployment("old", stage="retired"),
        "fading": deployment("fading", stage="deprecated"),
    },
)


def test_a_deployment_of_the_project() -> None:
    assert deployment_for(PROJECT, "chat", "chat").model == "model-of-chat"
    assert deployment_for(PROJECT, "fading", "completions").name == "fading"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("other", DeploymentNotFound, "'other' does not exist in this project"),
        ("embed", OperationNotSupported, "chat does not work with the model model-of-embed"),
        ("old", ModelRetired, "model-of-old"),
    ],
)
def test_what_cannot_be_served_says_why(name: str, error: type[EntrepotError], said: str) -> None:
    with pytest.raises(error, match=said) as refused:
        deployment_for(PROJECT, name, "chat")
    assert refused.value.param == "model"
