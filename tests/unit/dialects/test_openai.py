"""OpenAI's wire format: which fields decide, what passes untouched, what answers and events say."""

import json

import pytest

from entrepot.core.errors import InvalidRequest
from entrepot.dialects.answers import Said
from entrepot.dialects.openai import (
    error_event,
    outcome_of,
    outcome_of_refusal,
    read_answer,
    read_error,
    read_event,
    read_request,
    write_error,
)


def test_the_fields_that_decide() -> None:
    asked = read_request(b'{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}')
    assert (asked.model, asked.stream, asked.wants_usage) == ("m", True, True)


@pytest.mark.parametrize("body", [b"{}", b'{"model":null,"stream":null,"service_tier":null}', b'{"stream":false}'])
def test_what_is_missing_is_read_as_nothing(body: bytes) -> None:
    asked = read_request(body)
    assert (asked.model, asked.stream, asked.wants_usage) == ("", False, False)


def test_all_else_passes_as_it_was_written() -> None:
    body = b'{ "model" : "m" , "x" : [1.0e5, 1e-7,  "\\u00e9", {"deep": null}], "n":18446744073709551616 }'
    written = read_request(body).write("other")
    assert b'[1.0e5, 1e-7,  "\\u00e9", {"deep": null}]' in written
    assert json.loads(written) == json.loads(body) | {"model": "other"}


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (b"", {"include_usage": True}),
        (b',"stream_options":null', {"include_usage": True}),
        (b',"stream_options":{}', {"include_usage": True}),
        (b',"stream_options":{"include_usage":false,"x":1}', {"include_usage": True, "x": 1}),
        (b',"stream_options":{"include_usage":true,"x":1}', {"include_usage": True, "x": 1}),
    ],
)
def test_a_stream_always_asks_for_its_usage(options: bytes, written: dict[str, object]) -> None:
    asked = read_request(b'{"model":"m","stream":true' + options + b"}")
    assert json.loads(asked.write("m"))["stream_options"] == written
    assert json.loads(asked.write("again"))["stream_options"] == written


def test_what_is_no_stream_keeps_its_options_to_itself() -> None:
    asked = read_request(b'{"model":"m","stream_options":{"include_usage":false}}')
    assert json.loads(asked.write("m"))["stream_options"] == {"include_usage": False}


def test_a_key_that_is_written_twice_is_sent_once_as_it_was_read() -> None:
    asked = read_request(b'{"model":"cheap","model":"dear","mod\\u0065l":"read"}')
    assert asked.model == "read"
    assert asked.write("upstream") == b'{"model":"upstream"}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it ends too early (byte 0)"),
        (b'{"a":', "it ends too early (byte 5)"),
        (b'{"a":tru}', "invalid character (byte 6)"),
        (b'{"a":1}x', "trailing characters (byte 8)"),
        (b"\xff", "invalid character (byte 0)"),
        (b'{"a":01}', "invalid number (byte 6)"),
        (b'{"\xff":1}', "it is not UTF-8"),
        (b"[1]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_malformed_json_is_refused_with_its_position(body: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_request(body)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":1}', "model"),
        (b'{"model":["m"]}', "model"),
        (b'{"stream":"yes"}', "stream"),
        (b'{"stream":1}', "stream"),
        (b'{"stream":true,"stream_options":[]}', "stream_options"),
        (b'{"stream":true,"stream_options":{"include_usage":"x"}}', "include_usage"),
    ],
)
def test_a_wrong_type_names_its_field(body: bytes, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_request(body)
    assert refused.value.param == param


USAGE = b'{"prompt_tokens": 1}'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"choices":[{"delta":{"role":"assistant","content":""}}]}', Said()),
        (b'{"choices":[{"delta":{"role":"assistant"}}]}', Said()),
        (b'{"choices":[{"delta":{"content":null,"tool_calls":[],"x":{}}}]}', Said()),
        (b'{"choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":null}', Said(has_content=True)),
        (b'{"choices":[{"delta":{"refusal":"no"}}]}', Said(has_content=True)),
        (b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}', Said(has_content=True)),
        (b'{"choices":[{"text":"a","finish_reason":"length"}]}', Said(finish="length", has_content=True)),
        (b'{"choices":[{"finish_reason":"stop"},{"finish_reason":null}]}', Said(finish="stop")),
        (b'{"choices":[],"usage":' + USAGE + b"}", Said(usage=USAGE, is_usage_only=True)),
        (b'{"usage":' + USAGE + b"}", Said(usage=USAGE, is_usage_only=True)),
        (b'{"choices":[{}],"usage":' + USAGE + b"}", Said(usage=USAGE)),
        (b'{"choices":[{"finish_reason":7}],"usage":' + USAGE + b"}", Said(usage=USAGE)),
        (b'{"choices":[]}', Said()),
        (b'{"choices":[],"error":null}', Said()),
        (b'{"error":{"message":"the engine died"}}', Said(finish="failed")),
        (b'{"error":"the engine died","usage":' + USAGE + b"}", Said(USAGE, "failed", is_usage_only=True)),
        (b"[DONE]", Said(is_last=True)),
        (b" [DONE] ", Said(is_last=True)),
        (b"not JSON", Said()),
        (b"[1]", Said()),
        (b"", Said()),
    ],
)
def test_what_an_event_says(data: bytes, said: Said) -> None:
    assert told(read_event(data)) == told(said)


def told(said: Said) -> tuple[object, ...]:
    return tuple(getattr(said, name) for name in ("usage", "finish", "has_content", "is_usage_only", "is_last", "also"))


def test_an_answer_that_is_no_object_says_nothing_at_all() -> None:
    assert read_answer(b"<html>") is None
    assert read_answer(b"[" * 100_000) is None
    said = read_answer(b'{"choices":[{"delta":{"\xff":1}}],"usage":{"prompt_tokens":1}}')
    assert said is not None
    assert said.usage == b'{"prompt_tokens":1}'
    assert read_answer(b"[]") is None


@pytest.mark.parametrize(
    ("finish", "outcome"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("", "stop"),
        ("some day", "stop"),
        ("failed", "upstream_failed"),
    ],
)
def test_outcomes(finish: str, outcome: str) -> None:
    assert outcome_of(finish) == outcome


def test_an_upstreams_errors() -> None:
    read = read_error(b'{"error":{"message":"no","type":"t","param":"p","code":"c","innererror":{}}}')
    assert (read.message, read.type, read.param, read.code) == ("no", "t", "p", "c")
    assert read_error(b'{"error":"no"}').message == "no"
    assert read_error(b'{"error":{"message":"no","code":429}}').code == 429
    flat = read_error(b'{"object":"error","message":"no","type":"t","param":null,"code":400}')
    assert (flat.message, flat.type, flat.param, flat.code) == ("no", "t", None, 400)
    assert read_error(b'{"detail":"no"}').message == "no"
    assert read_error(b'{"detail":[{"loc":["body"]}]}').message == ""
    for unreadable in (b"", b"<html>", b"{}", b'{"error":[]}', b"[" * 100_000):
        assert read_error(unreadable).message == ""
    assert outcome_of_refusal(b'{"error":{"message":"no","code":"content_filter"}}') == "content_filter"
    assert outcome_of_refusal(b"busy") == "upstream_failed"


def test_an_error_always_has_its_four_members() -> None:
    body = write_error("no", kind="t", param=None, code=None)
    assert json.loads(body) == {"error": {"message": "no", "type": "t", "param": None, "code": None}}
    assert error_event(body) == b"data: " + body + b"\n\n"


@pytest.mark.parametrize("body", [b'{"\x80":1}', b'{"model":"\x80"}'])
def test_a_request_that_is_not_utf8_where_it_is_read_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_request(body)


def test_an_answer_that_is_not_utf8_still_says_what_it_used() -> None:
    usage = b'{"prompt_tokens":1,"completion_tokens":2}'
    said = read_answer(b'{"choices":[{"text":"\x80","finish_reason":"length"}],"usage":%b}' % usage)
    assert said is not None
    assert said.usage == usage
    assert read_answer(b'{"\x80') is None
    assert read_error(b'{"error":{"message":"\x80"}}').message == ""
