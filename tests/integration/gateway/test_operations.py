"""Each row of "Operations beside text" in docs/operations/usage-rules.md, asked for by the unmodified OpenAI client."""

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from entrepot.core.usage_event import UsageEvent
from tests.scripted_operations import PICTURE, SOUND
from tests.support.gateway import Gateway
from tests.support.operations import client_of, gateway_of_operations, recording
from tests.support.tree import ROOT

_RULES = (ROOT / "docs" / "operations" / "usage-rules.md").read_text().partition("## Operations beside text")[2]
ROWS = set(
    re.findall(r"^\| (?!operation )([a-z][a-z, ]+) \|(?:[^|]*\|){3}$", _RULES.partition("\n## ")[0], re.MULTILINE)
)
TESTED: set[str] = set()


def row(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks the test of a row of the document."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        TESTED.add(name)
        return test

    return mark


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with gateway_of_operations() as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    running.sink.records.clear()
    return running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with client_of(gateway) as client:
        yield client


def metered(gateway: Gateway, source: str = "reported", outcome: str = "stop") -> dict[str, int]:
    """The meters of the one request."""
    usage: UsageEvent = gateway.usage()
    assert (usage.source, usage.outcome) == (source, outcome)
    assert list(usage.meters) == sorted(usage.meters)
    return usage.meters


# ---- responses


@row("responses")
def test_a_response(gateway: Gateway, client: OpenAI) -> None:
    answer = client.responses.create(model="responses", input="two words [[chunks=4 cached=1 reasoning=2]]")
    assert answer.output_text == "w1 w2 w3 w4"
    assert answer.model == "upstream-model"
    assert metered(gateway) == {
        "cached_input_tokens": 1, "input_tokens": 1, "output_tokens": 2, "reasoning_tokens": 2,
    }  # fmt: skip
    assert b'"total_tokens"' in gateway.usage().raw


@row("responses, streamed")
def test_a_response_as_a_stream(gateway: Gateway, client: OpenAI) -> None:
    stream = client.responses.create(model="responses", input="two words [[chunks=4]]", stream=True)
    events = [event.type for event in stream]
    assert events.count("response.output_text.delta") == 4
    assert (events[0], events[-1]) == ("response.created", "response.completed")
    assert metered(gateway) == {"input_tokens": 2, "output_tokens": 4}
    assert "stream_options" not in next(reversed(gateway.upstream.served.values())).body


@row("responses, streamed")
def test_a_responses_last_event_waits_for_the_log(gateway: Gateway, client: OpenAI) -> None:
    gateway.sink.hold = True
    try:
        stream = client.responses.create(model="responses", input="hi [[chunks=2]]", stream=True)
        for event in stream:
            if event.type == "response.output_item.done":
                break
        gateway.usage()
    finally:
        gateway.do(gateway.sink.release)
    assert [event.type for event in stream] == ["response.completed"]


@row("responses, otherwise ended")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("ends", "outcome", "meters"),
    [
        ("incomplete", "length", {"input_tokens": 1, "output_tokens": 3}),
        ("filtered", "content_filter", {"input_tokens": 1, "output_tokens": 3}),
        ("failed", "upstream_failed", {}),
    ],
)
def test_a_response_that_ends_otherwise(
    gateway: Gateway, client: OpenAI, ends: str, outcome: str, meters: dict[str, int], stream: bool
) -> None:
    answer = client.responses.create(model="responses", input=f"hi [[ends={ends}]]", stream=stream)
    if stream:
        list(answer)
    assert metered(gateway, outcome=outcome) == meters


@row("responses, otherwise ended")
def test_a_response_with_a_function_call(gateway: Gateway, client: OpenAI) -> None:
    client.responses.create(model="responses", input="hi [[tool=1]]")
    assert metered(gateway, outcome="tool_calls") == {"input_tokens": 1, "output_tokens": 3}


@row("responses, with tools of the upstream")
@pytest.mark.parametrize("stream", [False, True])
def test_web_searches_are_counted(gateway: Gateway, client: OpenAI, stream: bool) -> None:
    answer = client.responses.create(model="responses", input="hi [[calls=2]]", stream=stream)
    if stream:
        list(answer)
    assert metered(gateway) == {"input_tokens": 1, "output_tokens": 3, "web_search_calls": 2}


@row("responses, without usage")
@pytest.mark.parametrize("stream", [False, True])
def test_a_response_without_usage(gateway: Gateway, client: OpenAI, stream: bool) -> None:
    answer = client.responses.create(model="responses", input="hi [[usage=no]]", stream=stream)
    if stream:
        list(answer)
    estimate = gateway.admitted().prompt_tokens_estimate
    assert metered(gateway, "counted") == {"input_tokens": estimate, "output_tokens": 3 if stream else 2}


@row("responses, without usage")
def test_a_responses_usage_that_does_not_sum_up(gateway: Gateway, client: OpenAI) -> None:
    client.responses.create(model="responses", input="hi [[usage=bad]]")
    assert metered(gateway) == {}
    assert b'"total_tokens":5' in gateway.usage().raw


@row("responses, streamed")
def test_a_response_that_breaks(gateway: Gateway, client: OpenAI) -> None:
    with pytest.raises(openai.APIError):
        list(client.responses.create(model="responses", input="hi [[chunks=5 break=2]]", stream=True))
    abandoned = gateway.abandoned()
    assert (abandoned.answered, abandoned.output_tokens) == (True, 2)


@row("responses, compacted or counted")
def test_compacting_and_counting(gateway: Gateway, client: OpenAI) -> None:
    client.responses.compact(model="responses", input="two words")
    assert metered(gateway) == {"input_tokens": 2, "output_tokens": 2}
    gateway.sink.records.clear()
    assert client.responses.input_tokens.count(model="responses", input="two words").input_tokens == 2
    assert metered(gateway, "counted") == {}


@pytest.mark.parametrize("field", ["conversation", "prompt", "background"])
def test_what_a_response_cannot_be_asked(gateway: Gateway, client: OpenAI, field: str) -> None:
    given: Any = {"conversation": "conv_1", "prompt": {"id": "p"}, "background": True}[field]
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="responses", input="hi", **{field: given})
    assert (refused.value.code, refused.value.param) == ("unsupported_value", field)
    assert gateway.sink.records == []


# ---- images


@row("images, with usage")
@pytest.mark.parametrize("stream", [False, True])
def test_pictures(gateway: Gateway, client: OpenAI, stream: bool) -> None:
    answer: Any = client.images.generate(model="images", prompt="a red cat", stream=stream)
    if stream:
        events = list(answer)
        assert [event.type for event in events] == [
            *["image_generation.partial_image"] * 2, "image_generation.completed",
        ]  # fmt: skip
        assert events[-1].b64_json == PICTURE
    assert metered(gateway) == {"image_output_tokens": 100, "input_tokens": 3}


@row("images, without usage")
@pytest.mark.parametrize("stream", [False, True])
def test_pictures_without_usage(gateway: Gateway, client: OpenAI, stream: bool) -> None:
    given: dict[str, Any] = {"stream": True} if stream else {"n": 3}
    answer: Any = client.images.generate(model="images", prompt="a red cat [[usage=no]]", **given)
    if stream:
        list(answer)
    assert metered(gateway, "counted") == {"images": 1 if stream else 3}


@row("images, with usage")
def test_an_edit(gateway: Gateway, client: OpenAI) -> None:
    answer = client.images.edit(model="image_edits", image=[b"one", b"two"], prompt="in blue", size="auto", n=1)
    assert answer.data is not None
    assert base64.b64decode(answer.data[0].b64_json or "") == b"a picture"
    served = next(reversed(gateway.upstream.served.values()))
    assert (served.body["model"], served.body["image[]"], served.body["size"]) == ("upstream-model", b"two", "auto")
    assert metered(gateway) == {"image_input_tokens": 10, "image_output_tokens": 100, "input_tokens": 2}


@row("images, without usage")
def test_variations(gateway: Gateway, client: OpenAI) -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        client.images.create_variation(image=b"a picture", n=2)
    served = next(reversed(gateway.upstream.served.values()))
    assert served.body["model"] == "upstream-model"
    assert metered(gateway)["image_output_tokens"] == 100


# ---- audio


@row("speech, as sound")
def test_speech(gateway: Gateway, client: OpenAI) -> None:
    spoken = client.audio.speech.create(model="speech", voice="alloy", input="hällo [[pieces=3]]")
    assert spoken.read() == SOUND * 3
    assert spoken.response.headers["content-type"] == "audio/mpeg"
    assert metered(gateway, "counted") == {"characters": len("hällo [[pieces=3]]")}


@row("speech, as sound")
def test_sound_is_relayed_as_it_comes_and_its_end_waits_for_the_log(gateway: Gateway, client: OpenAI) -> None:
    gateway.sink.hold = True
    try:
        with client.audio.speech.with_streaming_response.create(
            model="speech", voice="alloy", input="hi [[pieces=2]]"
        ) as spoken:
            pieces = spoken.iter_bytes()
            read = b""
            while len(read) < 2 * len(SOUND):
                read += next(pieces)
            gateway.usage()
            gateway.do(gateway.sink.release)
            assert list(pieces) == []
    finally:
        gateway.do(gateway.sink.release)


@row("speech, as sound")
def test_sound_that_breaks_is_no_whole_answer(gateway: Gateway, client: OpenAI) -> None:
    with pytest.raises(Exception, match=r"peer closed|incomplete|Connection"):
        client.audio.speech.create(model="speech", voice="alloy", input="hi [[pieces=3 break=2]]").read()
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered) == ("upstream_failed", True)
    assert gateway.admitted().counts == (("characters", len("hi [[pieces=3 break=2]]")),)


@row("speech, as events")
def test_speech_as_events(gateway: Gateway, client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="speech", voice="alloy", input="hi", stream_format="sse"
    ) as spoken:
        text = spoken.read().decode()
    assert text.count("event: speech.audio.delta") == 2
    assert metered(gateway) == {"audio_output_tokens": 101, "input_tokens": 14}


@row("recordings, with usage")
@pytest.mark.parametrize("stream", [False, True])
def test_a_transcription(gateway: Gateway, client: OpenAI, stream: bool) -> None:
    answer: Any = client.audio.transcriptions.create(model="transcriptions", file=recording(), stream=stream)
    text = list(answer)[-1].text if stream else answer.text
    assert text == "w1 w2 w3"
    served = next(reversed(gateway.upstream.served.values()))
    assert (served.body["model"], served.body["file"]) == ("upstream-model", recording())
    assert metered(gateway) == {"audio_input_tokens": 4, "input_tokens": 10, "output_tokens": 3}


@row("recordings, by their length")
@pytest.mark.parametrize(
    ("prompt", "given", "source", "seconds"),
    [
        ("[[usage=seconds]]", {}, "reported", 9),
        ("[[usage=no]]", {"response_format": "verbose_json"}, "counted", 9),
        ("[[usage=no]]", {"response_format": "text"}, "counted", 4),
    ],
)
def test_a_recording_is_counted_by_its_length(
    gateway: Gateway, client: OpenAI, prompt: str, given: Any, source: str, seconds: int
) -> None:
    answer: Any = client.audio.transcriptions.create(model="transcriptions", file=recording(), prompt=prompt, **given)
    assert (answer if isinstance(answer, str) else answer.text).strip() == "w1 w2 w3"
    assert metered(gateway, source) == {"audio_seconds": seconds}


@row("recordings, by their length")
def test_a_translation_of_an_mp3(gateway: Gateway, client: OpenAI) -> None:
    file = ("speech.mp3", b"x" * 40_000, "audio/mpeg")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        client.audio.translations.create(model="translations", file=file, prompt="[[usage=no]]")
    assert metered(gateway, "counted") == {"audio_seconds": 3}


def test_a_recording_may_be_larger_than_other_bodies(gateway: Gateway, client: OpenAI) -> None:
    client.audio.transcriptions.create(model="transcriptions", file=b"x" * 20 * 2**20)
    with pytest.raises(openai.APIStatusError) as refused:
        client.audio.transcriptions.create(model="transcriptions", file=b"x" * 27 * 2**20)
    assert refused.value.status_code == 413


# ---- scores, and sound in chat


@row("moderations")
def test_a_moderation(gateway: Gateway, client: OpenAI) -> None:
    assert len(client.moderations.create(input=["a", "b"]).results) == 2
    assert metered(gateway, "counted") == {"requests": 1}


@row("rerank")
@pytest.mark.parametrize(
    ("how", "source", "meters"),
    [
        ("", "reported", {"input_tokens": 21}),
        ("[[usage=units]]", "reported", {"search_units": 1}),
        ("[[usage=no]]", "counted", {"input_tokens": 16}),
    ],
)
def test_rerank(gateway: Gateway, client: OpenAI, how: str, source: str, meters: dict[str, int]) -> None:
    body = {"model": "rerank", "query": how, "documents": ["one", "two"]}
    answer: Any = client.post("/rerank", body=body, cast_to=object)
    assert [result["index"] for result in answer["results"]] == [0, 1]
    assert metered(gateway, source) == meters


def test_every_row_has_a_test() -> None:
    assert ROWS == TESTED
