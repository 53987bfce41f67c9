"""Requests for text and embeddings: defaults, limits, and refusals that name the field."""

import json
from typing import Any

import pytest

from entrepot.core.errors import ContextLengthExceeded, DeploymentNotFound, EntrepotError
from entrepot.ports.model_engine import PromptPart
from entrepot.serving.embedding_requests import check_lengths, embeddings_body, read_embeddings
from entrepot.serving.json_schemas import any_object
from entrepot.serving.model_cards import CARDS
from entrepot.serving.text_requests import TextRequest, output_room, read_chat, read_completion

CARD = CARDS["smollm2-135m"]
EMBEDDING = CARDS["all-minilm-l6-v2"]
HI = [{"role": "user", "content": "Hi"}]


def chat(**fields: Any) -> TextRequest:
    return read_chat(json.dumps({"model": CARD.id, "messages": HI, **fields}).encode(), CARD, 1000)


def completion(**fields: Any) -> TextRequest:
    return read_completion(json.dumps({"model": CARD.id, "prompt": "Hi", **fields}).encode(), CARD, 1000)


def embedding(**fields: Any) -> Any:
    return read_embeddings(json.dumps({"model": EMBEDDING.id, "input": "Hi", **fields}).encode(), EMBEDDING)


def test_sampling_is_the_models_unless_the_caller_says_how() -> None:
    assert (chat().wishes.sampling.temperature, chat().wishes.sampling.top_k) == (CARD.temperature, CARD.top_k)
    hot = chat(temperature=1.5).wishes.sampling
    assert (hot.temperature, hot.top_p, hot.top_k) == (1.5, 1.0, 0)
    assert chat(temperature=0).wishes.sampling.temperature == 0


def test_fields_find_their_place() -> None:
    request = chat(
        n=2, stream=True, stream_options={"include_usage": True}, seed=-5, stop="x", logit_bias={"7": -100},
        max_tokens=9, max_completion_tokens=5, frequency_penalty=-2, presence_penalty=2, logprobs=True, top_logprobs=4,
        user="u", metadata={"a": "b"}, ignore_eos=True,
    )  # fmt: skip
    wishes, sampling = request.wishes, request.wishes.sampling
    assert (wishes.choices, wishes.streamed, wishes.usage_in_stream) == (2, True, True)
    assert (sampling.output_tokens_max, sampling.seed, sampling.stop) == (5, -5, ("x",))
    assert (sampling.logit_bias, sampling.top_logprobs, sampling.ignore_end) == (((7, -100.0),), 4, True)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (-2, 2)
    assert chat(logprobs=True).wishes.sampling.top_logprobs == 0
    assert chat(logprobs=False).wishes.sampling.top_logprobs is None


def test_formats_become_schemas() -> None:
    assert chat(response_format={"type": "text"}).wishes.sampling.json_schema is None
    assert chat(response_format={"type": "json_object"}).wishes.sampling.json_schema == any_object()
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "integer"}}}
    request = chat(response_format=wanted)
    assert json.loads(request.wishes.sampling.json_schema or "")["type"] == "integer"
    assert request.schema_param == "response_format.json_schema.schema"


def test_a_tool_that_is_called_goes_before_the_format() -> None:
    tool = {"type": "function", "function": {"name": "weather"}}
    asked = [{"role": "user", "content": "weather"}]
    request = chat(messages=asked, tools=[tool], response_format={"type": "json_object"})
    assert request.calls_tool
    assert "weather" in (request.wishes.sampling.json_schema or "")
    assert not chat(tools=[tool], response_format={"type": "json_object"}).calls_tool


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": 5}, "stop"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"logit_bias": {"1000": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"colour": 1}}, "stream_options.colour"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
        ),
        ({"modalities": ["audio"]}, "modalities"),
        ({"store": True}, "store"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_chat_refuses_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(EntrepotError) as refused:
        chat(**fields)
    assert refused.value.param == param


def test_another_model_is_not_found() -> None:
    for read in (chat, completion, embedding):
        with pytest.raises(DeploymentNotFound):
            read(model="gpt-4")


def test_prompts_come_in_four_shapes() -> None:
    assert completion().prompts == ((PromptPart("Hi"),),)
    assert completion(prompt=["a", "b"]).prompts == ((PromptPart("a"),), (PromptPart("b"),))
    assert completion(prompt=[1, 2]).prompts == ((1, 2),)
    assert completion(prompt=[[1, 2], "c"]).prompts == ((1, 2), (PromptPart("c"),))
    assert completion().wishes.sampling.output_tokens_max == 16
    assert completion(prompt=["a", "b"], echo=True).echo == ("a", "b")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1000]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": ["a"] * 17}, "prompt"),
        ({"prompt": ["a"] * 6, "n": 3}, "prompt"),
        ({"best_of": 2}, "best_of"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 6}, "logprobs"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"echo": True, "prompt": [1]}, "echo"),
        ({"tools": []}, "tools"),
    ],
)
def test_completions_refuse_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(EntrepotError) as refused:
        completion(**fields)
    assert refused.value.param == param


def test_the_answer_gets_the_room_that_is_left() -> None:
    assert output_room(chat(), [2000], CARD) == (48,)
    assert output_room(chat(max_tokens=48), [2000], CARD) == (48,)
    with pytest.raises(
        ContextLengthExceeded, match=r"2049 tokens \(2000 in the prompt, 49 in the completion\)"
    ) as refused:
        output_room(chat(max_tokens=49), [2000], CARD)
    assert refused.value.param == "messages"
    with pytest.raises(ContextLengthExceeded) as refused:
        output_room(completion(), [10, 2048], CARD)
    assert refused.value.param == "prompt"


def test_embedding_inputs_and_answers() -> None:
    request = embedding(input=["a", "b"], encoding_format="base64", user="u")
    body = json.loads(embeddings_body(request, [b"\0\0\x80\x3f", b"\0\0\0\0"], EMBEDDING, 6))
    assert [item["embedding"] for item in body["data"]] == ["AACAPw==", "AAAAAA=="]
    assert body["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    assert json.loads(embeddings_body(embedding(), [b"\0\0\x80\x3f"], EMBEDDING, 3))["data"][0]["embedding"] == [1.0]
    check_lengths([512], EMBEDDING)
    with pytest.raises(ContextLengthExceeded, match=r"input\[1\]"):
        check_lengths([2, 513], EMBEDDING)


@pytest.mark.parametrize("texts", [None, [], "", ["a", ""], ["a", 1], [1], [[1]], ["a"] * 2049, {}])
def test_embedding_inputs_are_checked(texts: object) -> None:
    with pytest.raises(EntrepotError) as refused:
        embedding(input=texts)
    assert refused.value.param == "input"
