"""OpenAI's own Python library against our edge: plain and Azure, sync and async; only endpoint and key are changed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from entrepot.core.log_records import UsageRecorded
from entrepot.core.periods import END_OF_TIME
from entrepot.core.service_tiers import FlexRules, PriorityRules, ServiceTiers
from tests.support.gateway import KEY, Gateway, deployment, eventually, running_gateway, target

SyncClient = OpenAI | AzureOpenAI
AsyncClient = AsyncOpenAI | AsyncAzureOpenAI


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def settings(gateway: Gateway, kind: str, key: str = KEY) -> dict[str, Any]:
    common: dict[str, Any] = {"api_key": key, "max_retries": 0, "timeout": 10}
    if kind == "azure":
        return {**common, "azure_endpoint": gateway.url, "api_version": "2024-10-21"}
    return {**common, "base_url": gateway.url + kind}


KINDS = ["/v1", "/openai/v1/", "azure"]


@pytest.fixture(params=KINDS)
def client(gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[SyncClient]:
    made = AzureOpenAI if request.param == "azure" else OpenAI
    with made(**settings(gateway, request.param)) as client:
        yield client


@pytest.fixture(params=KINDS)
def async_settings(gateway: Gateway, request: pytest.FixtureRequest) -> tuple[type[AsyncClient], dict[str, Any]]:
    return AsyncAzureOpenAI if request.param == "azure" else AsyncOpenAI, settings(gateway, request.param)


def ask(client: SyncClient, prompt: str, **fields: Any) -> Any:
    return client.chat.completions.create(model="chat", messages=[{"role": "user", "content": prompt}], **fields)


def test_chat(gateway: Gateway, client: SyncClient) -> None:
    answer = ask(client, "two words [[chunks=4 cached=1]]", temperature=0.2, max_tokens=9)
    assert answer.choices[0].message.content == "w1 w2 w3 w4"
    assert answer.model == "upstream-model"
    assert answer.usage.completion_tokens == 4
    assert answer.usage.prompt_tokens_details.cached_tokens == 1
    [recorded] = [record for record in gateway.of(UsageRecorded) if record.event.id == answer._request_id]
    assert recorded.event.meters == {"cached_input_tokens": 1, "input_tokens": 1, "output_tokens": 4}


def test_chat_as_a_stream(client: SyncClient) -> None:
    chunks = list(ask(client, "hi [[chunks=4]]", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "w1 w2 w3 w4 "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_with_usage(client: SyncClient) -> None:
    *_, last = ask(client, "hi [[chunks=4]]", stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens == 4


def test_a_tool_call(client: SyncClient) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    answer = ask(client, "hi [[tool=1]]", tools=tools)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls[0].function.name == "look"


def test_completions_and_embeddings(client: SyncClient) -> None:
    assert client.completions.create(model="chat", prompt="hi [[chunks=2]]").choices[0].text == "w1 w2"
    texts = [chunk.choices[0].text for chunk in client.completions.create(model="chat", prompt="hi", stream=True)]
    assert "".join(texts) == "w1 w2 w3 "
    embedded = client.embeddings.create(model="embed", input=["a", "b"])
    assert [item.index for item in embedded.data] == [0, 1]


def test_models(client: SyncClient) -> None:
    assert [model.id for model in client.models.list()] == ["chat", "a/b", "embed"]
    assert client.models.retrieve("a/b").owned_by == "maker"


def test_a_deployment_with_a_slash_in_its_name(client: SyncClient) -> None:
    answer = client.chat.completions.create(model="a/b", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "w1 w2 w3"


@pytest.mark.parametrize(
    ("model", "prompt", "error"),
    [
        ("none", "hi", openai.NotFoundError),
        ("embed", "hi", openai.BadRequestError),
        ("old", "hi", openai.APIStatusError),
        ("chat", "hi [[status=429]]", openai.RateLimitError),
        ("chat", "hi [[status=422]]", openai.UnprocessableEntityError),
        ("chat", "hi [[status=500]]", openai.InternalServerError),
        ("chat", "hi [[status=401]]", openai.InternalServerError),
        ("chat", "hi [[break=0]]", openai.InternalServerError),
    ],
)
def test_errors_are_raised_as_what_they_are(
    client: SyncClient, model: str, prompt: str, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])
    assert raised.value.request_id is not None
    assert len(raised.value.request_id) == 32
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["message"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_key(gateway: Gateway, kind: str) -> None:
    made = AzureOpenAI if kind == "azure" else OpenAI
    with made(**settings(gateway, kind, key="wrong")) as client, pytest.raises(openai.AuthenticationError) as raised:
        ask(client, "hi")
    assert raised.value.code == ("401" if kind == "azure" else "invalid_api_key")


def test_a_stream_that_breaks_raises_among_its_chunks(client: SyncClient) -> None:
    read = []
    with pytest.raises(openai.APIError) as raised:
        read.extend(ask(client, "hi [[chunks=5 break=2]]", stream=True))
    assert raised.value.code == "upstream_failed"


def test_leaving_a_stream_stops_its_upstream(gateway: Gateway, client: SyncClient) -> None:
    stream = ask(client, "hi [[chunks=1000 stall=2]]", stream=True)
    request_id = stream.response.headers["x-request-id"]
    for chunk in stream:
        if chunk.choices[0].delta.content == "w2 ":
            break
    stream.close()
    eventually(lambda: gateway.upstream.served[request_id].state == "cancelled")


def test_many_at_once(gateway: Gateway, async_settings: tuple[type[AsyncClient], dict[str, Any]]) -> None:
    made, given = async_settings

    async def run() -> list[str]:
        async with made(**given) as client:
            return await asyncio.gather(*(answer_of(client, number) for number in range(40)))

    answers = [text.split() for text in asyncio.run(run())]
    assert answers == [[f"w{word}" for word in range(1, number + 2)] for number in range(40)]
    assert gateway.flow.shared.streams == set()


async def answer_of(client: AsyncClient, number: int) -> str:
    """Its text; of a stream when the number is odd."""
    messages: Any = [{"role": "user", "content": f"hi [[chunks={number + 1} delay=0.001]]"}]
    if number % 2 == 0:
        answer = await client.chat.completions.create(model="chat", messages=messages)
        return answer.choices[0].message.content or ""
    stream = await client.chat.completions.create(model="chat", messages=messages, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


@pytest.mark.parametrize("kind", KINDS)
def test_a_tier_of_service_is_told_where_the_library_reads_it(kind: str) -> None:
    """The one that is billed: the upstream's word counts where it could not serve at priority."""
    always = ((0, END_OF_TIME),)
    with running_gateway(published=False) as gateway:
        tiers = ServiceTiers(PriorityRules(), FlexRules())
        chat = deployment("chat", target(gateway.upstream.base_url), service_tiers=tiers, tiers={"priority": always})
        gateway.serve(chat)
        made = AzureOpenAI if kind == "azure" else OpenAI
        with made(**settings(gateway, kind)) as client:
            for said, billed in (("scale", "priority"), ("default", "default")):
                prompt = f"a [[tier={said}]]"
                assert ask(client, prompt, service_tier="priority").service_tier == billed
                stream = ask(client, prompt, service_tier="priority", stream=True)
                assert {chunk.service_tier for chunk in stream if chunk.choices} == {billed}
            with pytest.raises(openai.BadRequestError, match="it has: auto, default, priority"):
                ask(client, "a", service_tier="flex")
