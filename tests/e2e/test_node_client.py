"""OpenAI's Node client, in both dialects: one run of it each, looked at from all sides."""

import json
from typing import Any

import pytest

from tests.support.node import run_node
from tests.support.product import Product


@pytest.fixture(scope="module", params=["openai", "azure"])
def dialect(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def found(product: Product, dialect: str) -> Any:
    """What node/client.mjs came back with."""
    return json.loads(run_node("client.mjs", dialect, GATEWAY=product.gateway, KEY=product.key))


def test_a_question_is_answered(product: Product, found: Any) -> None:
    chat = found["chat"]
    assert chat["text"]
    assert chat["model"] == "smollm2-135m"
    product.note(chat["id"], chat["usage"])


def test_item_17_a_stream_says_the_same_and_ends_with_its_usage(product: Product, found: Any) -> None:
    streamed = found["streamed"]
    assert streamed["text"] == found["chat"]["text"]
    assert streamed["chunks"] > 5
    assert streamed["last"]["choices"] == []
    assert streamed["last"]["usage"] == found["chat"]["usage"]
    product.note(streamed["id"], streamed["last"]["usage"])


def test_a_text_is_completed(product: Product, found: Any) -> None:
    assert found["completion"]["text"]
    product.note(found["completion"]["id"], found["completion"]["usage"])


def test_embeddings_are_equal_as_numbers_and_as_base64(product: Product, found: Any) -> None:
    assert found["embedded"]["length"] == 384
    assert found["embedded"]["apart"] < 1e-6
    product.note(found["embedded"]["id"], found["embedded"]["usage"])


def test_item_07_models_are_those_of_the_key(found: Any) -> None:
    assert found["models"] == {"ids": ["chat", "embeddings", "large", "small"], "one": "chat"}


def test_errors_are_typed_and_carry_the_request_id(found: Any, dialect: str) -> None:
    errors = {name: error for name, error in found["errors"].items() if name != "broken"}
    codes = {name: (error["type"], error["status"], error["code"]) for name, error in errors.items()}
    if dialect == "azure":
        assert codes["key"] == ("AuthenticationError", 401, "401")
        assert codes["deployment"] == ("NotFoundError", 404, "DeploymentNotFound")
        assert codes["operation"] == ("BadRequestError", 400, "OperationNotSupported")
    else:
        assert codes["key"] == ("AuthenticationError", 401, "invalid_api_key")
        assert codes["deployment"] == ("NotFoundError", 404, "model_not_found")
        assert codes["operation"] == ("BadRequestError", 400, "operation_not_supported")
    assert all(error["id"] for error in errors.values())


def test_item_20_a_stream_that_fails_midway_makes_the_client_throw(found: Any) -> None:
    assert found["errors"]["broken"]["type"] == "APIError"
    assert found["errors"]["broken"]["code"] == "upstream_failed"


def test_item_08_a_batch_runs_also_below_its_deployment(product: Product, found: Any, dialect: str) -> None:
    batch = found["batch"]
    assert (batch["status"], batch["listed"], batch["deleted"]) == ("completed", True, True)
    assert [line["custom_id"] for line in batch["lines"]] == ["ask-1", "ask-2"]
    for line in batch["lines"]:
        response = line["response"]
        assert response["body"]["choices"][0]["message"]["content"] == "w1 w2 w3"
        product.note(response["request_id"], response["body"]["usage"], tier="batch")
    if dialect == "azure":
        assert (batch["other"]["status"], batch["other"]["code"]) == (400, "BadRequest")
