"""The chat model for real: one process, OpenAI's own client, and what the process says each request took."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from tests.support.model_process import TEXT, ModelProcess, kept_models, serving

SEA = [{"role": "user", "content": "Write one short sentence about the sea."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
        },
    },
}
LONG: dict[str, Any] = {"model": TEXT, "messages": SEA, "temperature": 0, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelProcess]:
    with serving(TEXT, tmp_path_factory.mktemp("home"), kept_models(request.config)) as process:
        yield process


def chat(process: ModelProcess, **more: Any) -> Any:
    fields = {"model": TEXT, "messages": SEA, "temperature": 0, "max_tokens": 24, **more}
    return process.openai().chat.completions.create(**fields)


def test_it_answers_with_its_own_token_counts(model: ModelProcess) -> None:
    answer = chat(model, messages=[{"role": "user", "content": "What is the capital of France?"}])
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 27
    assert answer.usage.total_tokens == 27 + answer.usage.completion_tokens


def test_a_stream_says_the_same_and_ends_with_usage(model: ModelProcess) -> None:
    whole = chat(model, max_tokens=12)
    chunks = list(chat(model, max_tokens=12, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "length"


def test_usage_is_told_afterwards(model: ModelProcess) -> None:
    answer = model.post("/v1/chat/completions", {**LONG, "stream": False, "max_tokens": 7}, "asked-1")
    assert answer.headers["x-request-id"] == "asked-1"
    told = model.usage("asked-1")
    assert told == {"id": "asked-1", "state": "finished", "usage": answer.json()["usage"]}
    assert answer.json()["usage"]["completion_tokens"] == 7


def test_a_departed_client_stops_the_stream_and_its_tokens_are_kept(model: ModelProcess) -> None:
    """Given a long stream, when its client leaves, then work stops and what was produced until then is told."""
    received = 0
    with httpx.stream(
        "POST", f"{model.url}/v1/chat/completions", json=LONG, headers={"x-request-id": "left-1"}, timeout=60
    ) as answer:
        for line in answer.iter_lines():
            received += '"content"' in line and '"content":""' not in line
            if received == 5:
                break
    usage = model.ended_usage("left-1")
    tokens = usage["usage"]["completion_tokens"]
    assert usage["state"] == "cancelled"
    assert usage["usage"]["prompt_tokens"] > 20
    assert received <= tokens < 200
    before = model.cpu_s()
    chat(model, max_tokens=1)  # About as long as a token of the stream would have taken.
    assert model.usage("left-1") == usage
    assert model.cpu_s() - before < 2


def test_a_client_that_leaves_before_a_whole_answer_stops_it_too(model: ModelProcess) -> None:
    usage = model.left("/v1/chat/completions", {**LONG, "stream": False}, "left-2", "completion_tokens")
    assert usage["state"] == "cancelled"
    assert 0 < usage["usage"]["completion_tokens"] < 500


def test_more_at_once_than_slots_all_get_their_answers(model: ModelProcess) -> None:
    with ThreadPoolExecutor(7) as pool:
        answers = list(
            pool.map(lambda seed: chat(model, temperature=1, seed=seed, max_tokens=12), [1, 2, 3, 4, 5, 6, 1])
        )
    assert all(answer.usage.completion_tokens <= 12 for answer in answers)
    assert len({answer.choices[0].message.content for answer in answers}) > 2


def test_an_id_that_is_running_is_refused_to_another(model: ModelProcess) -> None:
    begun = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with httpx.stream(
            "POST", f"{model.url}/v1/chat/completions", json=LONG, headers={"x-request-id": "twice"}, timeout=60
        ) as answer:
            lines = answer.iter_lines()  # Held, for when it is dropped the connection closes.
            next(lines)
            begun.set()
            release.wait(30)
            del lines

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert begun.wait(30)
        assert model.usage("twice")["state"] == "running"
        refused = model.post("/v1/chat/completions", {**LONG, "stream": False}, "twice")
        release.set()
        held.result()
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "x-request-id"
    model.ended_usage("twice")


def test_a_schema_is_kept(model: ModelProcess) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
    answer = chat(
        model,
        messages=[{"role": "user", "content": "Make a person as JSON."}],
        max_tokens=120,
        response_format={"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": schema}},
    )
    person = json.loads(answer.choices[0].message.content)
    assert list(person) == ["name", "age", "tags"]
    assert 0 <= person["age"] <= 120


def test_json_is_kept(model: ModelProcess) -> None:
    answer = chat(
        model,
        messages=[{"role": "user", "content": "A person with name and age, as JSON."}],
        response_format={"type": "json_object"},
        max_tokens=120,
    )
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


@pytest.mark.parametrize("schema", [{"type": "string", "format": "nonsense"}, {"type": "strange"}, {"minimum": "x"}])
def test_a_schema_the_runtime_cannot_keep_is_refused(model: ModelProcess, schema: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(openai.BadRequestError) as refused:
        chat(model, response_format=wanted)
    assert refused.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "get_weather"}}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called(model: ModelProcess, choice: Any, stream: bool) -> None:
    asked = [{"role": "user", "content": "What is the weather in Paris? Use the tool."}]
    answer = chat(model, messages=asked, tools=[WEATHER], tool_choice=choice, max_tokens=80, stream=stream)
    if stream:
        chunks = [chunk.choices[0] for chunk in answer]
        (call,) = [call for chunk in chunks for call in chunk.delta.tool_calls or []]
        reason = chunks[-1].finish_reason
    else:
        (call,) = answer.choices[0].message.tool_calls
        reason = answer.choices[0].finish_reason
    arguments = json.loads(call.function.arguments)
    assert reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert isinstance(arguments["city"], str)
    assert set(arguments) <= {"city", "unit"}


def test_after_a_tool_has_answered_the_model_writes(model: ModelProcess) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    turns = [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "18 degrees, sunny"},
    ]
    message = chat(model, messages=turns, tools=[WEATHER]).choices[0].message
    assert message.tool_calls is None
    assert message.content


def test_several_choices_count_the_prompt_once(model: ModelProcess) -> None:
    one = chat(model, max_tokens=5, temperature=1, seed=7)
    three = chat(model, max_tokens=5, temperature=1, seed=7, n=3)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    assert three.usage.completion_tokens <= 15
    assert len({choice.message.content for choice in three.choices}) > 1


def test_stop_strings_seed_and_probabilities(model: ModelProcess) -> None:
    counting = [{"role": "user", "content": "Count: one, two, three, four, five"}]
    stopped = chat(model, messages=counting, stop=[","], max_tokens=40)
    assert "," not in stopped.choices[0].message.content
    again = [chat(model, temperature=1, seed=seed, max_tokens=16).choices[0].message.content for seed in (5, 5, 6)]
    assert again[0] == again[1] != again[2]
    shown = chat(model, logprobs=True, top_logprobs=3, max_tokens=4).choices[0].logprobs.content
    assert [len(token.top_logprobs) for token in shown] == [3, 3, 3, 3]
    assert all(token.logprob <= 0 and bytes(token.bytes).decode() == token.token for token in shown)
    # Greedy choice takes the likeliest.
    assert [token.token for token in shown] == [token.top_logprobs[0].token for token in shown]


def test_plain_completions(model: ModelProcess) -> None:
    client = model.openai()
    fields: dict[str, Any] = {"model": TEXT, "max_tokens": 4, "temperature": 0}
    answer = client.completions.create(prompt="The capital of France is", echo=True, **fields)
    assert answer.choices[0].text.startswith("The capital of France is Paris")
    several = client.completions.create(prompt=["One two", "A b c"], **fields)
    assert [choice.index for choice in several.choices] == [0, 1]
    shown = client.completions.create(prompt="The capital of France is", logprobs=2, **fields).choices[0]
    assert shown.logprobs is not None
    assert "".join(shown.logprobs.tokens or []) == shown.text
    assert shown.logprobs.text_offset == [0, 6, 7, 8]
    streamed = client.completions.create(prompt="The capital of France is", stream=True, **fields)
    assert "".join(chunk.choices[0].text for chunk in streamed) == shown.text


def test_what_does_not_fit_is_refused(model: ModelProcess) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        chat(model, messages=[{"role": "user", "content": "word " * 3000}])
    assert refused.value.code == "context_length_exceeded"
    assert refused.value.param == "messages"


def test_other_names_routes_and_shapes_are_refused(model: ModelProcess) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        chat(model, model="gpt-4")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="does not offer"):
        model.openai().embeddings.create(model=TEXT, input="x")
    malformed = httpx.post(f"{model.url}/v1/chat/completions", content=b'{"model": ')
    assert malformed.status_code == 400
    assert malformed.json()["error"]["type"] == "invalid_request_error"
    assert model.post("/v1/nothing", {}).json()["error"]["code"] == "route_not_found"
    assert model.post("/v1/chat/completions", LONG, "no blanks please").json()["error"]["param"] == "x-request-id"
    never = httpx.get(f"{model.url}/v1/usage/never-came")
    assert (never.status_code, never.json()["error"]["code"]) == (404, "not_found")


def test_it_describes_itself(model: ModelProcess) -> None:
    client = model.openai()
    assert [entry.id for entry in client.models.list().data] == [TEXT]
    assert client.models.retrieve(TEXT).owned_by == "HuggingFaceTB"
    assert httpx.get(f"{model.url}/healthz").json() == {"status": "ok", "model": TEXT}
