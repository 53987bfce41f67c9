"""Usage of text in and text out alone, which nearly every request has, is read on a short way to the same meters."""

import json

import pytest

from entrepot.dialects.openai_usage import UsageMismatch, meters_of

NO_DETAILS: tuple[dict[str, int | None] | None, ...] = (None, {}, {"cached_tokens": 0}, {"cached_tokens": None})


@pytest.mark.parametrize("details", NO_DETAILS)
def test_details_without_anything_change_nothing(details: dict[str, int | None] | None) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "prompt_tokens_details": details}
    assert list(meters_of(json.dumps(usage).encode()).items()) == [("input_tokens", 5), ("output_tokens", 7)]


@pytest.mark.parametrize("usage", ['{"prompt_tokens":5}', '{"prompt_tokens":5,"completion_tokens":0}'])
def test_no_output_is_no_meter(usage: str) -> None:
    assert meters_of(usage.encode()) == {"input_tokens": 5}


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens":5,"completion_tokens":7,"total_tokens":13}',
        '{"prompt_tokens":-5,"completion_tokens":7,"total_tokens":2}',
        '{"prompt_tokens":5,"completion_tokens":-7,"total_tokens":-2}',
    ],
)
def test_what_does_not_sum_up_is_a_mismatch_on_the_short_way_too(usage: str) -> None:
    with pytest.raises(UsageMismatch):
        meters_of(usage.encode())
