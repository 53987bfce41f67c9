"""LangChain's OpenAI and Azure OpenAI classes, as an application that is built on them has them."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, AzureOpenAIEmbeddings, ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

from tests.support.product import Product

Model = Callable[..., Any]
SEA = "Write one short sentence about the sea."
VERSION = "2024-10-21"


@tool
def get_weather(city: str) -> str:
    """Current weather of a city."""
    return f"4 degrees and rain in {city}"


class City(BaseModel):
    """A city."""

    name: str
    capital: bool


@pytest.fixture(params=["openai", "azure"])
def model(product: Product, request: pytest.FixtureRequest) -> Model:
    """Makes a chat model with further settings."""

    def make(**more: Any) -> Any:
        common: dict[str, Any] = {
            "temperature": 0,
            "max_tokens": 24,
            "include_response_headers": True,
            "max_retries": 0,
            **more,
        }
        if request.param == "openai":
            return ChatOpenAI(base_url=f"{product.gateway}/v1", api_key=SecretStr(product.key), model="chat", **common)
        return AzureChatOpenAI(
            azure_endpoint=product.gateway,
            api_key=SecretStr(product.key),
            api_version=VERSION,
            azure_deployment="chat",
            **common,
        )

    return make


def note(product: Product, message: AIMessage) -> None:
    """Keeps what a message says was used."""
    usage = message.usage_metadata
    assert usage is not None
    told = {"prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"]}
    product.note(message.response_metadata["headers"]["x-request-id"], told)


def test_invoke(product: Product, model: Model) -> None:
    answer = model().invoke([HumanMessage("What is the capital of France?")])
    assert "Paris" in answer.content
    assert answer.response_metadata["model_name"] == "smollm2-135m"
    note(product, answer)


def test_a_stream_adds_up_to_an_answer_with_its_usage(product: Product, model: Model) -> None:
    chunks = list(model(stream_usage=True).stream(SEA))
    assert len([chunk for chunk in chunks if chunk.content]) > 5
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.content == model().invoke(SEA).content
    assert whole.usage_metadata["total_tokens"] > 0
    note(product, whole)


def test_a_tool_is_called_and_its_result_is_answered(product: Product, model: Model) -> None:
    bound = model(max_tokens=60).bind_tools([get_weather])
    question = HumanMessage("What is the weather in Oslo?")
    called = bound.invoke([question])
    [call] = called.tool_calls
    assert call["name"] == "get_weather"
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    answer = bound.invoke([question, called, result])
    assert answer.content
    for message in (called, answer):
        note(product, message)


def test_structured_output(model: Model) -> None:
    found = model(max_tokens=60).with_structured_output(City).invoke("Is Paris a capital? Answer as JSON.")
    assert isinstance(found, City)


def test_many_questions_at_once(product: Product, model: Model) -> None:
    answers = model(max_tokens=4).batch([f"Count to {number}." for number in range(2, 7)])
    assert len({answer.response_metadata["headers"]["x-request-id"] for answer in answers}) == 5
    for answer in answers:
        note(product, answer)


def test_embeddings(product: Product) -> None:
    made = [
        OpenAIEmbeddings(
            base_url=f"{product.gateway}/v1",
            api_key=SecretStr(product.key),
            model="embeddings",
            check_embedding_ctx_length=False,
        ),
        AzureOpenAIEmbeddings(
            azure_endpoint=product.gateway,
            api_key=SecretStr(product.key),
            api_version=VERSION,
            azure_deployment="embeddings",
            check_embedding_ctx_length=False,
        ),
    ]
    texts = ["the sea", "an invoice"]
    first, second = (embeddings.embed_documents(texts) for embeddings in made)
    assert [len(vector) for vector in first] == [384, 384]
    assert first == [pytest.approx(vector) for vector in second]
    assert made[0].embed_query("the sea") == pytest.approx(first[0], abs=1e-4)
