"""The asynchronous Python clients, also with many requests at once on one connection pool."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest

from tests.support.product import Product

SEA: Any = [{"role": "user", "content": "Write one short sentence about the sea."}]
Work = Callable[[openai.AsyncOpenAI], Awaitable[None]]
Run = Callable[[Work], None]


def openai_client(product: Product) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{product.gateway}/v1", api_key=product.key, max_retries=0)


def azure_client(product: Product) -> openai.AsyncOpenAI:
    return openai.AsyncAzureOpenAI(
        azure_endpoint=product.gateway, api_key=product.key, api_version="2024-10-21", max_retries=0
    )


@pytest.fixture(params=[openai_client, azure_client])
def run(product: Product, request: pytest.FixtureRequest) -> Run:
    """Runs work with a client, to its end."""

    async def main(work: Work) -> None:
        async with request.param(product) as client:
            await work(client)

    return lambda work: asyncio.run(main(work))


def test_an_answer_and_a_stream(product: Product, run: Run) -> None:
    async def work(client: openai.AsyncOpenAI) -> None:
        asked: dict[str, Any] = {"model": "chat", "messages": SEA, "temperature": 0, "max_tokens": 12}
        whole = await client.chat.completions.create(**asked)
        chunks = [chunk async for chunk in await client.chat.completions.create(**asked, stream=True)]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == whole.choices[0].message.content
        product.note(whole._request_id, whole.usage)

    run(work)


def test_many_at_once_are_each_answered_and_metered_apart(product: Product, run: Run) -> None:
    async def ask(client: openai.AsyncOpenAI, number: int) -> None:
        messages: Any = [{"role": "user", "content": f"{'word ' * number} [[chunks={number} delay=0.01]]"}]
        answer = await client.chat.completions.create(model="large", messages=messages)
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (number, number)
        product.note(answer._request_id, answer.usage)

    async def work(client: openai.AsyncOpenAI) -> None:
        await asyncio.gather(*(ask(client, number) for number in range(1, 33)))

    run(work)


def test_embeddings_completions_and_models(product: Product, run: Run) -> None:
    async def work(client: openai.AsyncOpenAI) -> None:
        embedded = await client.embeddings.create(model="embeddings", input="the sea")
        assert len(embedded.data[0].embedding) == 384
        completed = await client.completions.create(model="chat", prompt="The sea is", max_tokens=4)
        assert completed.choices[0].text
        assert "chat" in [model.id async for model in client.models.list()]
        product.note(embedded._request_id, embedded.usage.model_dump())
        product.note(completed._request_id, completed.usage)

    run(work)


def test_errors_are_typed(run: Run) -> None:
    async def work(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nobody", messages=SEA)
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="ek-nobody").chat.completions.create(model="chat", messages=SEA)

    run(work)


def test_a_client_that_leaves_its_stream_is_billed_for_what_it_took(product: Product, run: Run) -> None:
    """Given a stream that its client leaves after a few chunks, the upstream's own account of it is booked."""
    ids = []

    async def work(client: openai.AsyncOpenAI) -> None:
        asked: dict[str, Any] = {"model": "large", "stream": True}
        messages: Any = [{"role": "user", "content": "one two [[chunks=500 delay=0.02]]"}]
        raw = await client.chat.completions.with_raw_response.create(**asked, messages=messages)
        ids.append(raw.headers["x-request-id"])
        seen = 0
        stream: Any = raw.parse()
        async with stream:
            async for _ in stream:
                seen += 1
                if seen == 5:
                    break

    run(work)
    booked = product.booked(ids[0])
    assert (booked["outcome"], booked["meters"]["input_tokens"]) == ("client_left", 2)
    assert 3 <= booked["meters"]["output_tokens"] < 500
