"""The realtime shape: who is asked, which events tell of usage, and the meters of it."""

import json
from typing import Any

import pytest

from entrepot.core.errors import EntrepotError
from entrepot.dialects.openai_usage import UsageMismatch
from entrepot.dialects.realtime import (
    MARKS,
    Event,
    cancel,
    deployment_asked,
    meters_of,
    read_event,
    split_protocols,
    transcription_meters,
)


def event(**members: Any) -> bytes:
    return json.dumps(members).encode()


def done(**response: Any) -> Event | None:
    return read_event(event(type="response.done", response={"id": "r", **response}))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (b"model=talk", "talk"),
        (b"model=a%2Fb", "a/b"),
        (b"api-version=2024-10-01-preview&deployment=talk", "talk"),
        (b"model=x&deployment=talk", "talk"),
    ],
)
def test_the_query_names_the_deployment(query: bytes, name: str) -> None:
    assert deployment_asked(query) == name


@pytest.mark.parametrize("query", [b"", b"model=", b"model=a&call_id=b", b"intent=transcription", b"model=a&api-key=b"])
def test_a_query_that_names_none_or_something_else_is_refused(query: bytes) -> None:
    with pytest.raises(EntrepotError):
        deployment_asked(query)


def test_a_key_among_the_protocols_is_taken_out() -> None:
    assert split_protocols(b"realtime, openai-insecure-api-key.ek-1 ,x") == (b"ek-1", b"realtime, x")
    assert split_protocols(b"") == (b"", b"")


def test_events_that_tell_of_a_response() -> None:
    assert read_event(event(type="response.created", response={"id": "r"})) == Event("created", "r")
    assert done(status="completed", usage={"a": 1}) == Event("done", "r", "stop", b'{"a": 1}')
    assert done(status="cancelled") == Event("done", "r", "stop", b"")
    assert done(status="failed", usage=None) == Event("done", "r", "upstream_failed", b"")
    assert done(status="incomplete", status_details={"reason": "max_output_tokens"}) == Event("done", "r", "length")
    filtered = done(status="incomplete", status_details={"reason": "content_filter"})
    assert filtered == Event("done", "r", "content_filter")
    assert done(status="incomplete") == Event("done", "r", "length")
    assert all(mark in event(type=json.loads(mark)) for mark in MARKS)


def test_what_transcribing_used() -> None:
    kind = "conversation.item.input_audio_transcription.completed"
    assert read_event(event(type=kind, usage={"seconds": 3})) == Event("transcribed", usage=b'{"seconds": 3}')
    assert read_event(event(type=kind)) is None


@pytest.mark.parametrize(
    "message", [b"", b"[]", b"{", event(type="error", why="response.done"), event(type=3, why="response.done")]
)
def test_another_event_that_holds_a_mark_is_none(message: bytes) -> None:
    assert read_event(message) is None


def test_an_end_of_another_shape_is_not_lost() -> None:
    odd = event(type="response.done", response=["r"])
    assert read_event(odd) == Event("done", usage=odd)
    with pytest.raises(UsageMismatch):
        meters_of(odd)


def usage(**changes: Any) -> bytes:
    return event(
        **{
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
            **changes,
        }
    )


def test_parts_are_told_by_medium_and_by_what_was_cached() -> None:
    assert meters_of(usage()) == {
        "audio_cached_input_tokens": 4,
        "audio_input_tokens": 9,
        "audio_output_tokens": 91,
        "cached_input_tokens": 60,
        "input_tokens": 59,
        "output_tokens": 30,
    }


def test_what_is_not_told_by_medium_is_text() -> None:
    assert meters_of(event(input_tokens=5, output_tokens=0)) == {"input_tokens": 5}
    details = {"text_tokens": 100, "audio_tokens": 32, "cached_tokens": 64}
    assert meters_of(usage(input_token_details=details))["cached_input_tokens"] == 64
    seen = {"text_tokens": 100, "image_tokens": 32}
    assert meters_of(usage(input_token_details=seen))["image_input_tokens"] == 32


@pytest.mark.parametrize(
    "changes",
    [
        {"total_tokens": 254},
        {"input_token_details": {"text_tokens": 1, "audio_tokens": 1}},
        {"output_token_details": {"text_tokens": 121, "audio_tokens": 1}},
        {"input_token_details": {"text_tokens": 2, "audio_tokens": 130, "cached_tokens": 3}},
        {"input_token_details": {"text_tokens": 132, "cached_tokens": 3, "cached_tokens_details": {"text_tokens": 2}}},
        {"output_token_details": {"text_tokens": 122, "audio_tokens": -1}},
        {"input_tokens": "132"},
        {"input_tokens": 10**30, "total_tokens": 10**30 + 121},
    ],
)
def test_what_does_not_sum_up_is_no_usage(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageMismatch):
        meters_of(usage(**changes))


def test_what_was_transcribed_is_metered_as_sound() -> None:
    read = event(type="tokens", total_tokens=9, input_tokens=7, output_tokens=2)
    assert transcription_meters(read) == {"audio_input_tokens": 7, "output_tokens": 2}
    assert transcription_meters(b'{"type": "duration", "seconds": 2.5}') == {"audio_seconds": 3}


def test_a_cancellation_names_its_response() -> None:
    assert json.loads(cancel("resp_1")) == {"type": "response.cancel", "response_id": "resp_1"}
