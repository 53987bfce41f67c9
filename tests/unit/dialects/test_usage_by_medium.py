"""The usage objects of responses, images and recordings: exclusive meters that sum to their totals, or none."""

import json
from typing import Any

import pytest

from entrepot.core.tokens import METERS
from entrepot.dialects.audio import speech_meters, transcript_meters
from entrepot.dialects.images import image_meters
from entrepot.dialects.openai_usage import UsageMismatch
from entrepot.dialects.scores import rerank_meters
from entrepot.dialects.usage_by_medium import meters_of


def raw(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("usage", "meters"),
    [
        (raw(input_tokens=9, output_tokens=4, total_tokens=13), {"input_tokens": 9, "output_tokens": 4}),
        (
            raw(
                input_tokens=90, input_tokens_details={"cached_tokens": 50, "cache_write_tokens": 10}, output_tokens=40,
                output_tokens_details={"reasoning_tokens": 30}, total_tokens=130,
            ),
            {
                "cache_write_tokens": 10, "cached_input_tokens": 50, "input_tokens": 30,
                "output_tokens": 10, "reasoning_tokens": 30,
            },
        ),
        (raw(input_tokens=0, output_tokens=0), {"input_tokens": 0}),
        (raw(input_tokens=5, output_tokens=None), {"input_tokens": 5}),
    ],
)  # fmt: skip
def test_responses(usage: bytes, meters: dict[str, int]) -> None:
    assert meters_of(usage) == meters
    assert meters.keys() <= METERS


def test_images() -> None:
    seen = {"text_tokens": 10, "image_tokens": 40}
    assert image_meters(raw(input_tokens=50, input_tokens_details=seen, output_tokens=60, total_tokens=110)) == {
        "image_input_tokens": 40,
        "image_output_tokens": 60,
        "input_tokens": 10,
    }
    drawn = {"text_tokens": 5, "image_tokens": 55}
    assert image_meters(raw(input_tokens=5, output_tokens=60, output_tokens_details=drawn)) == {
        "image_output_tokens": 55,
        "input_tokens": 5,
        "output_tokens": 5,
    }


def test_recordings_and_speech() -> None:
    assert transcript_meters(raw(type="tokens", input_tokens=14, output_tokens=3, total_tokens=17)) == {
        "audio_input_tokens": 14,
        "output_tokens": 3,
    }
    assert speech_meters(raw(input_tokens=14, output_tokens=101, total_tokens=115)) == {
        "audio_output_tokens": 101,
        "input_tokens": 14,
    }
    for seconds, whole in (("9", 9), ("8.04", 9), ("0", 0), ("1e2", 100)):
        assert transcript_meters(b'{"type":"duration","seconds":%b}' % seconds.encode()) == {"audio_seconds": whole}


@pytest.mark.parametrize(
    "usage",
    [
        b"{}",
        b"[]",
        b"nothing",
        raw(input_tokens=9, output_tokens=4, total_tokens=14),
        raw(input_tokens=-9, output_tokens=4),
        raw(input_tokens=9, output_tokens=4, input_tokens_details={"cached_tokens": 10}),
        raw(input_tokens=9, output_tokens=4, output_tokens_details={"reasoning_tokens": 5}),
        raw(input_tokens=9, output_tokens=4, input_tokens_details={"text_tokens": 5, "image_tokens": 5}),
        raw(input_tokens=9, output_tokens=4, input_tokens_details={"image_tokens": -5}),
        raw(input_tokens=10**14, output_tokens=4),
        raw(input_tokens="9", output_tokens=4),
        b'{"seconds":-1}',
        b'{"seconds":1e300}',
        b'{"seconds":"NaN"}',
    ],
)
def test_what_does_not_sum_up_is_no_meter(usage: bytes) -> None:
    with pytest.raises(UsageMismatch):
        meters_of(usage)


@pytest.mark.parametrize(
    ("usage", "meters"),
    [
        (raw(total_tokens=56), {"input_tokens": 56}),
        (raw(prompt_tokens=56, total_tokens=56), {"input_tokens": 56}),
        (raw(api_version={}, billed_units={"search_units": 1.0}), {"search_units": 1}),
        (raw(billed_units={"search_units": 2, "input_tokens": 7}), {"input_tokens": 7, "search_units": 2}),
    ],
)
def test_rerank(usage: bytes, meters: dict[str, int]) -> None:
    assert rerank_meters(usage) == meters


@pytest.mark.parametrize("usage", [b"{}", raw(prompt_tokens=5, total_tokens=6), raw(total_tokens=-1), b"1"])
def test_what_rerank_cannot_be_counted_by(usage: bytes) -> None:
    with pytest.raises(UsageMismatch):
        rerank_meters(usage)
