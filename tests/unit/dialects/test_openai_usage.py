"""Usage objects -> meters that exclude one another, or a reason why not. Estimates where nobody counted."""

import json

import pytest

from entrepot.core.tokens import TOKEN_METERS
from entrepot.dialects.openai_estimates import estimate_answer
from entrepot.dialects.openai_usage import UsageMismatch, meters_of
from entrepot.dialects.prompt_estimates import estimate_prompt, estimate_texts


def usage(prompt: int, completion: int, total: int | None = None, **parts: int) -> bytes:
    """A usage object; parts are named prompt_… and completion_…."""
    details = {
        f"{side}_tokens_details": {
            name.removeprefix(f"{side}_"): n for name, n in parts.items() if name.startswith(f"{side}_")
        }
        for side in ("prompt", "completion")
    }
    totals = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total or prompt + completion}
    return json.dumps(totals | details).encode()


@pytest.mark.parametrize(
    ("raw", "meters"),
    [
        (b'{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}', {"input_tokens": 5, "output_tokens": 7}),
        (b'{"prompt_tokens":5,"total_tokens":5}', {"input_tokens": 5}),
        (b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}', {"input_tokens": 0}),
        (b'{"prompt_tokens":5,"completion_tokens":null,"prompt_tokens_details":null}', {"input_tokens": 5}),
        (usage(10, 8, prompt_cached_tokens=10), {"cached_input_tokens": 10, "input_tokens": 0, "output_tokens": 8}),
        (usage(10, 8, completion_reasoning_tokens=8), {"input_tokens": 10, "reasoning_tokens": 8}),
        (usage(10, 8, completion_rejected_prediction_tokens=3), {"input_tokens": 10, "output_tokens": 8}),
        (
            usage(
                100,
                50,
                prompt_cached_tokens=10,
                prompt_cache_write_tokens=20,
                prompt_audio_tokens=5,
                prompt_image_tokens=7,
                completion_reasoning_tokens=30,
                completion_audio_tokens=4,
                completion_image_tokens=1,
            ),
            {
                "audio_input_tokens": 5,
                "audio_output_tokens": 4,
                "cache_write_tokens": 20,
                "cached_input_tokens": 10,
                "image_input_tokens": 7,
                "image_output_tokens": 1,
                "input_tokens": 58,
                "output_tokens": 15,
                "reasoning_tokens": 30,
            },
        ),
    ],
)
def test_meters(raw: bytes, meters: dict[str, int]) -> None:
    found = meters_of(raw)
    assert found == meters
    assert list(found) == sorted(found)
    assert found.keys() <= TOKEN_METERS
    said = json.loads(raw)
    assert sum(found.values()) == said["prompt_tokens"] + (said.get("completion_tokens") or 0)


@pytest.mark.parametrize(
    "raw",
    [
        usage(5, 7, total=13),
        usage(5, 7, prompt_cached_tokens=6),
        usage(5, 7, prompt_cached_tokens=3, prompt_cache_write_tokens=3),
        usage(5, 7, completion_reasoning_tokens=8),
        usage(5, 7, prompt_cached_tokens=-1),
        usage(-5, 7),
        usage(5, -7),
        usage(2**64, 7),
        usage(5, 10**30),
        b'{"completion_tokens":7}',
        b'{"prompt_tokens":"5"}',
        b'{"prompt_tokens":5.5}',
        b'{"prompt_tokens":5,"prompt_tokens_details":[]}',
        b'{"input_tokens":5,"output_tokens":7}',
        b"[]",
        b"{",
    ],
)
def test_what_does_not_sum_up_is_no_usage(raw: bytes) -> None:
    with pytest.raises(UsageMismatch):
        meters_of(raw)


def test_a_prompt_is_estimated_by_its_size_and_never_beyond_the_context() -> None:
    assert estimate_prompt(400, 8192) == 100
    assert estimate_prompt(400_000, 8192) == 8192
    assert estimate_texts(400_000) == 100_000


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"choices": [{"message": {"content": "four"}}, {"message": {"content": "five!"}}]}, 3),
        ({"choices": [{"text": "é" * 4}]}, 2),
        ({"choices": [{"message": {"content": None, "tool_calls": [1, 2]}}]}, 2),
        ({"choices": [{"message": {"refusal": "no"}}]}, 1),
        ({"data": [{"embedding": [1, 2]}]}, 0),
        ({"choices": [{"message": []}]}, 0),
    ],
)
def test_an_answer_is_estimated_by_its_words(answer: object, tokens: int) -> None:
    assert estimate_answer(json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()) == tokens
