"""Azure AI Inference's endpoint: chat and embeddings by a model's name, and what a deployment's model is."""

from collections.abc import Iterator

import pytest

from tests.support.gateway import Gateway, deployment, running_gateway, target
from tests.support.requests import ask, chat

V = "?api-version=2024-10-21"
INFO = "/openai/deployments/{}/info"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def test_chat_and_embeddings(gateway: Gateway) -> None:
    for stream in (False, True):
        assert ask(gateway, chat("hi", stream=stream), path="/models/chat/completions" + V).status == 200
    assert ask(gateway, b'{"model":"embed","input":["a"]}', path="/models/embeddings" + V).status == 200
    for path, body, status, code in (
        ("/models/chat/completions" + V, chat("hi", model="none"), 404, "DeploymentNotFound"),
        ("/models/chat/completions", chat("hi"), 400, "BadRequest"),
        ("/models/info" + V, b"", 400, "BadRequest"),
        ("/models/info" + V + "&model=none", b"", 404, "DeploymentNotFound"),
        (INFO.format("none") + V, b"", 404, "DeploymentNotFound"),
        (INFO.format("chat"), b"", 400, "BadRequest"),
    ):
        refused = ask(gateway, body, path=path)
        assert (refused.status, set(refused.error), refused.error["code"]) == (status, {"code", "message"}, code)


def test_what_a_deployments_model_is(gateway: Gateway) -> None:
    def told(name: str, kind: str) -> dict[str, str]:
        return {"model_name": f"model-of-{name}", "model_type": kind, "model_provider_name": "maker"}

    assert ask(gateway, path=INFO.format("chat") + V).json() == told("chat", "chat_completion")
    assert ask(gateway, path="/models/info" + V + "&model=embed").json() == told("embed", "embeddings")
    with running_gateway(published=False) as other:
        other.serve(deployment("only", target(other.upstream.base_url), operations=("rerank", "images")))
        assert ask(other, path="/models/info" + V).json() == told("only", "image_generation")
        other.serve(deployment("only", target(other.upstream.base_url), operations=("rerank",)))
        assert ask(other, path="/models/info" + V).json() == told("only", "rerank")
