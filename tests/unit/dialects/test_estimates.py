"""What a request is estimated to use."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from entrepot.adapters.tokenizers import BundledTokenizers
from entrepot.core.estimate import Estimate
from entrepot.dialects.estimates import OUTPUT_TOKENS_GUESS, bytes_of, estimate_of
from entrepot.dialects.operations import OPERATIONS

CONTEXT = 8_192
TOKENIZERS = BundledTokenizers()
for name in ("o200k_base", "cl100k_base"):
    TOKENIZERS.load(name)

# The example of OpenAI's cookbook, "How to count tokens with tiktoken", for which it prints what the API has counted.
EXAMPLE = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate jargon "
        "into plain English.",
    },
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Things working well together will increase revenue.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities "
        "for increased leverage.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    },
]


def estimate(operation: str = "chat", tokenizer: str = "", **fields: Any) -> Estimate:
    body = json.dumps({"model": "m", **fields}).encode()
    count = TOKENIZERS.counter(tokenizer) or bytes_of
    row = OPERATIONS[operation]
    return estimate_of(row, row.read(body, b""), body, CONTEXT, count)


def noting(counted: list[int]) -> Callable[[str], int]:
    """Counts a token for four characters, and notes how many characters it was given."""

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text) // 4

    return count


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("name", ["n", "best_of"])
def test_no_number_of_answers_makes_it_more_than_counters_hold(name: str) -> None:
    fields: dict[str, Any] = {name: 10**30}
    asked = estimate("chat", messages=user("hi"), max_tokens=10, **fields)
    assert asked.output_tokens == asked.output_tokens_max == 100_000


@pytest.mark.parametrize(("tokenizer", "counted"), [("cl100k_base", 129), ("o200k_base", 124)])
def test_a_chat_is_counted_as_the_api_counts_it(tokenizer: str, counted: int) -> None:
    assert estimate(tokenizer=tokenizer, messages=EXAMPLE, max_tokens=1).prompt_tokens == counted


def test_text_is_counted_as_published() -> None:
    newer, older = TOKENIZERS.counter("o200k_base"), TOKENIZERS.counter("cl100k_base")
    assert newer is not None
    assert older is not None
    assert newer("antidisestablishmentarianism") == 6
    assert older("お誕生日おめでとう") == 9
    assert older("<|endoftext|>") == 7  # Somebody's words, and no end.


def test_without_a_tokenizer_bytes_are_the_bound() -> None:
    text = "Grüße, 世界"
    with_bytes = estimate(messages=user(text), max_tokens=5)
    assert with_bytes.prompt_tokens == len(text.encode()) + len("user") + 3 + 3
    assert with_bytes.prompt_tokens > estimate(tokenizer="o200k_base", messages=user(text)).prompt_tokens


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"max_tokens": 20}, 20),
        ({"max_completion_tokens": 30}, 30),
        ({"max_completion_tokens": 30, "n": 3}, 90),
        ({"max_tokens": 20, "best_of": 4, "n": 2}, 80),
        ({"max_tokens": 1_000_000}, CONTEXT - 15),
        ({"max_tokens": 0}, 0),
        ({}, OUTPUT_TOKENS_GUESS),
    ],
)
def test_how_long_an_answer_may_get(fields: dict[str, Any], output: int) -> None:
    found = estimate(messages=user("hello"), **fields)
    assert found.prompt_tokens == 15
    assert found.output_tokens == output


def test_a_guess_is_said_to_be_one_and_bounds_nothing() -> None:
    found = estimate(messages=user("hello"))
    assert (found.is_guess, found.output_tokens_max) == (True, CONTEXT - found.prompt_tokens)
    assert not estimate(messages=user("hello"), max_tokens=3).is_guess


def test_what_is_no_text_may_fill_the_context() -> None:
    picture = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:x" * 1000}}]
    found = estimate(messages=user(picture), max_tokens=1)
    assert found.prompt_tokens < 20
    assert found.prompt_tokens_max == CONTEXT
    later = estimate("responses", input="and then?", previous_response_id="resp_1", max_output_tokens=7)
    assert (later.output_tokens, later.prompt_tokens_max) == (7, CONTEXT)


def test_tools_and_what_they_said_are_part_of_a_prompt() -> None:
    plain = estimate(messages=user("hi"), max_tokens=1).prompt_tokens
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    assert estimate(messages=user("hi"), max_tokens=1, tools=tools).prompt_tokens > plain + 40
    called = [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"it"}'}}]
    said = [{"role": "assistant", "tool_calls": called}, {"role": "tool", "tool_call_id": "call_1", "content": "sun"}]
    more = estimate(messages=user("hi") + said, max_tokens=1).prompt_tokens - plain
    assert more == sum(map(len, ("assistant", "look", '{"at":"it"}', "tool", "sun"))) + 2 * 3


@pytest.mark.parametrize(
    ("operation", "fields", "prompt"),
    [
        ("embeddings", {"input": ["abc", "de"]}, 5),
        ("embeddings", {"input": [[1, 2, 3], [4]]}, 4),
        ("completions", {"prompt": [17, 4], "max_tokens": 1}, 2),
        ("responses", {"input": "abc", "instructions": "de", "max_output_tokens": 1}, 5),
        ("moderations", {"input": "abc"}, 3),
        ("rerank", {"query": "ab", "documents": ["c", {"text": "d"}]}, 4),
    ],
)
def test_each_operation_has_its_prompt_where_it_is(operation: str, fields: dict[str, Any], prompt: int) -> None:
    found = estimate(operation, **fields)
    assert found.prompt_tokens == prompt
    assert found.output_tokens == (1 if operation in {"completions", "responses"} else 0)


def test_what_cannot_be_read_is_left_to_the_upstream() -> None:
    for fields in ({"messages": "no list"}, {"messages": user("hi"), "max_tokens": "many"}):
        found = estimate(**fields)
        assert (found.prompt_tokens, found.output_tokens, found.is_guess) == (0, CONTEXT, True)
        assert (found.prompt_tokens_max, found.output_tokens_max) == (CONTEXT, CONTEXT)


def test_a_long_text_is_counted_in_pieces_and_no_further_than_its_context() -> None:
    counted: list[int] = []
    count = noting(counted)

    def prompt(operation: str, **fields: Any) -> int:
        counted.clear()
        row, body = OPERATIONS[operation], json.dumps({"model": "m", **fields}).encode()
        return estimate_of(row, row.read(body, b""), body, CONTEXT, count).prompt_tokens

    assert prompt("chat", messages=user("words " * 500_000)) == CONTEXT
    assert sum(counted) < 2**18 + 100
    assert prompt("embeddings", input="words " * 500_000) >= 500_000 * 6 // 4
    assert 300_000 * 4 <= sum(counted) < 300_000 * 4 + 2**18
    assert max(counted) == 2**18


@pytest.mark.parametrize("many", [[], {}, 7, [7, "é"]])
def test_what_is_made_of_very_many_values_is_counted_by_its_bytes_and_never_decoded(many: Any) -> None:
    body = json.dumps({"model": "m", "input": [many] * 400_000, "max_output_tokens": 5}).encode()
    for name, prompt in (("embeddings", len(body)), ("responses", CONTEXT)):
        row, counted = OPERATIONS[name], list[int]()
        found = estimate_of(row, row.read(body, b""), body, CONTEXT, noting(counted))
        assert (found.prompt_tokens, found.prompt_tokens_max, found.is_guess) == (prompt, prompt, False)
        assert counted == []


def test_as_many_numbers_as_anybody_takes_are_counted_one_by_one() -> None:
    numbers = list(range(1_000_000, 1_290_000))
    assert estimate("embeddings", input=numbers).prompt_tokens == len(numbers)


def test_a_large_picture_is_no_text() -> None:
    picture = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:x" * 500_000}}]
    assert estimate(messages=user(picture), max_tokens=1).prompt_tokens < 20
