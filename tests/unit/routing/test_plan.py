"""Which deployment a name means, and which upstream is tried first."""

import pytest

from entrepot.core.errors import (
    DeploymentNotFound,
    EntrepotError,
    ModelRetired,
    OperationNotSupported,
    PermissionDenied,
)
from entrepot.core.lifecycle import StageFrom
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
        "early": deployment("early", stage="preview"),
        "dated": deployment(
            "dated",
            stage="preview",
            stages=(StageFrom(100, "early_access"), StageFrom(200, "general"), StageFrom(300, "retired")),
            granted=((50, 150),),
        ),
    },
)


def test_a_deployment_of_the_project() -> None:
    assert deployment_for(PROJECT, "chat", "chat", 0).model == "model-of-chat"
    assert deployment_for(PROJECT, "fading", "completions", 0).name == "fading"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("other", DeploymentNotFound, "'other' does not exist in this project"),
        ("embed", OperationNotSupported, "chat does not work with the model model-of-embed"),
        ("old", ModelRetired, "model-of-old"),
        ("early", PermissionDenied, "is in preview, and this customer has no grant"),
    ],
)
def test_what_cannot_be_served_says_why(name: str, error: type[EntrepotError], said: str) -> None:
    with pytest.raises(error, match=said) as refused:
        deployment_for(PROJECT, name, "chat", 0)
    assert refused.value.param == "model"


@pytest.mark.parametrize(
    ("at", "error", "said"),
    [
        (49, PermissionDenied, "in preview"),
        (50, None, ""),
        (149, None, ""),
        (150, PermissionDenied, "in early access"),
        (200, None, ""),
        (299, None, ""),
        (300, ModelRetired, "retired"),
    ],
)
def test_dates_decide_by_the_instant_of_the_request(at: int, error: type[EntrepotError] | None, said: str) -> None:
    if error is None:
        assert deployment_for(PROJECT, "dated", "chat", at).name == "dated"
        return
    with pytest.raises(error, match=said):
        deployment_for(PROJECT, "dated", "chat", at)
