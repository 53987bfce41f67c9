"""OpenAI's Python client as customers have it, pointed at us by nothing but address and key, in both dialects.

Each test runs with the three ways there are to point it. What the answers say they used is noted, and compared with
the books when all tests are done.
"""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

from tests.support.product import Product

SEA = [{"role": "user", "content": "Write one short sentence about the sea."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def openai_client(product: Product) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{product.gateway}/v1", api_key=product.key, max_retries=0)


def openai_client_on_azure(product: Product) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{product.gateway}/openai/v1/", api_key=product.key, max_retries=0)


def azure_client(product: Product) -> openai.OpenAI:
    return openai.AzureOpenAI(
        azure_endpoint=product.gateway, api_key=product.key, api_version="2024-10-21", max_retries=0
    )


@pytest.fixture(scope="module", params=[openai_client, openai_client_on_azure, azure_client])
def client(product: Product, request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    with request.param(product) as client:
        yield client


def ask(client: openai.OpenAI, **more: Any) -> Any:
    fields = {"model": "chat", "messages": SEA, "temperature": 0, "max_tokens": 12, **more}
    return client.chat.completions.create(**fields)


def stream(client: openai.OpenAI, **more: Any) -> tuple[list[Any], str]:
    """(the chunks, the request id)."""
    fields = {"model": "chat", "messages": SEA, "temperature": 0, "max_tokens": 12, "stream": True, **more}
    answer = client.chat.completions.with_raw_response.create(**fields)
    return list(answer.parse()), answer.headers["x-request-id"]


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_question_is_answered_by_the_model_itself(product: Product, client: openai.OpenAI) -> None:
    answer = ask(client, messages=[{"role": "user", "content": "What is the capital of France?"}], max_tokens=20)
    assert "Paris" in answer.choices[0].message.content
    assert answer.model == "smollm2-135m"
    assert answer.object == "chat.completion"
    product.note(answer._request_id, answer.usage)


def test_what_was_used_is_booked_within_moments(product: Product, client: openai.OpenAI) -> None:
    answer = ask(client)
    booked = product.booked(answer._request_id)
    assert booked["meters"] == {
        "input_tokens": answer.usage.prompt_tokens,
        "output_tokens": answer.usage.completion_tokens,
    }
    assert (booked["customer"], booked["project"], booked["deployment"]) == ("acme", "search", "chat")
    assert (booked["tier"], booked["outcome"], booked["source"]) == ("default", "length", "reported")


def test_a_stream_says_the_same_as_a_whole_answer(product: Product, client: openai.OpenAI) -> None:
    whole = ask(client)
    chunks, request_id = stream(client)
    assert text_of(chunks) == whole.choices[0].message.content
    assert len(chunks) > 5
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"
    product.note(request_id, whole.usage)


def test_item_17_usage_in_a_stream_is_its_last_chunk_without_choices(product: Product, client: openai.OpenAI) -> None:
    chunks, request_id = stream(client, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    product.note(request_id, chunks[-1].usage)


def test_two_choices_are_two_answers_and_one_prompt(product: Product, client: openai.OpenAI) -> None:
    one, two = ask(client), ask(client, n=2, temperature=1, seed=3)
    assert [choice.index for choice in two.choices] == [0, 1]
    assert two.choices[0].message.content != two.choices[1].message.content
    assert two.usage.prompt_tokens == one.usage.prompt_tokens
    assert two.usage.completion_tokens > one.usage.completion_tokens
    product.note(two._request_id, two.usage)


def test_it_stops_at_a_word(product: Product, client: openai.OpenAI) -> None:
    whole = ask(client).choices[0].message.content
    word = whole.split()[3]
    answer = ask(client, stop=[word])
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == whole[: whole.index(word)]
    product.note(answer._request_id, answer.usage)


def test_the_same_seed_says_the_same_again(client: openai.OpenAI) -> None:
    first, again, other = (ask(client, temperature=1, seed=seed) for seed in (7, 7, 8))
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.choices[0].message.content != other.choices[0].message.content


class City(pydantic.BaseModel):
    name: str
    capital: bool


def test_an_answer_keeps_to_a_schema(product: Product, client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="chat",
        messages=[{"role": "user", "content": "Is Paris a capital? Answer as JSON."}],
        response_format=City,
        temperature=0,
        max_tokens=60,
    )
    assert isinstance(answer.choices[0].message.parsed, City)
    product.note(answer._request_id, answer.usage)


def test_a_tool_is_called_and_its_result_is_answered(product: Product, client: openai.OpenAI) -> None:
    question = {"role": "user", "content": "What is the weather in Oslo?"}
    called = ask(client, messages=[question], tools=[WEATHER], tool_choice="required", max_tokens=60)
    assert called.choices[0].finish_reason == "tool_calls"
    [call] = called.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"]
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 4, "sky": "rain"}'}
    said = called.choices[0].message.model_dump(exclude_none=True)
    answer = ask(client, messages=[question, said, result], tools=[WEATHER])
    assert answer.choices[0].message.content
    assert answer.choices[0].message.tool_calls is None
    product.note(called._request_id, called.usage)
    product.note(answer._request_id, answer.usage)


def test_a_text_is_completed_whole_and_streamed(product: Product, client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "chat", "prompt": "The sea is", "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**asked)
    assert whole.object == "text_completion"
    assert whole.choices[0].text
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert chunks[-1].usage == whole.usage
    product.note(whole._request_id, whole.usage)


def test_embeddings_are_equal_as_numbers_and_as_base64(product: Product, client: openai.OpenAI) -> None:
    texts = ["the sea", "a ship at sea", "an invoice"]
    packed = client.embeddings.create(model="embeddings", input=texts)  # Without a format the client asks for base64.
    numbers = client.embeddings.create(model="embeddings", input=texts, encoding_format="float")
    sea, ship, invoice = (item.embedding for item in numbers.data)
    assert [item.embedding for item in packed.data] == [pytest.approx(item.embedding) for item in numbers.data]
    assert len(sea) == 384
    assert dot(sea, ship) > dot(sea, invoice)
    for answer in (packed, numbers):
        product.note(answer._request_id, answer.usage.model_dump())


def dot(left: list[float], right: list[float]) -> float:
    return sum(one * other for one, other in zip(left, right, strict=True))


def test_models_are_those_of_the_key(product: Product, client: openai.OpenAI) -> None:
    assert sorted(model.id for model in client.models.list()) == ["chat", "embeddings", "large", "small"]
    found = client.models.retrieve("chat")
    assert (found.id, found.object, found.owned_by) == ("chat", "model", "Meridian Cloud")
    other = client.with_options(api_key=product.keys["shop"])
    assert [model.id for model in other.models.list()] == ["helper", "studio"]


def test_a_wrong_key_is_an_authentication_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        ask(client.with_options(api_key="ek-nobody"))
    assert raised.value.status_code == 401
    assert raised.value.code == ("401" if isinstance(client, openai.AzureOpenAI) else "invalid_api_key")
    assert raised.value.request_id


def test_an_unknown_deployment_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        ask(client, model="nobody")
    assert raised.value.code == ("DeploymentNotFound" if isinstance(client, openai.AzureOpenAI) else "model_not_found")
    assert raised.value.request_id


def test_another_project_s_deployment_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        ask(client, model="helper")


def test_a_question_to_an_embedding_model_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, model="embeddings")
    azure = isinstance(client, openai.AzureOpenAI)
    assert raised.value.code == ("OperationNotSupported" if azure else "operation_not_supported")
    assert "embeddings" in raised.value.message
    assert raised.value.request_id


def test_what_no_model_understands_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, messages="not a list")
    assert raised.value.param == "messages"
    assert raised.value.request_id


def test_an_error_of_an_upstream_keeps_its_kind(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        ask(client, model="large", messages=[{"role": "user", "content": "hello [[status=429]]"}])
    assert raised.value.response.headers["retry-after"] == "7"
    assert "127.0.0.1" not in raised.value.message
