"""A shortcut never leads elsewhere than the long way, whatever bytes it is given; nor does its compiled twin."""

import json
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from entrepot.core.errors import EntrepotError
from entrepot.core.log_records import Admitted, LogRecord, UsageRecorded, encode_record
from entrepot.core.segments import frame, split_frames
from entrepot.core.usage_event import UsageEvent
from entrepot.dialects import openai
from entrepot.dialects import shortcuts as dialect_shortcuts
from entrepot.edge import http_answers
from entrepot.edge import shortcuts as edge_shortcuts
from entrepot.edge.http_requests import Refusal, RequestLimits, RequestReader
from tests.fuzz.shortcuts_target import (
    LONG_ANSWERS,
    check_answer,
    check_chunk,
    check_estimate,
    check_rate_limits,
    check_record,
    check_request,
    check_usage,
    check_whole_answer,
)
from tests.support.twins import kind, twins

CORE = twins("entrepot.core.shortcuts")
RELAY = twins("entrepot.relay.shortcuts")
DIALECTS = twins("entrepot.dialects.shortcuts")

BODIES = (
    b'{"model": "gpt-4", "messages": [{"role": "user", "content": "caf\xc3\xa9 \\"x\\" \\u00e9\\n"}], "stream": true}',
    b'{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":[1,-2.5e3,{}]},"n":null}',
    b' {"stream":false,"model":"gpt-4o-mini-with-a-long-name-0123456789","a":[],"b":{"model":"other"}}\n',
    b'{"model":"m","model":"n"}',
    b'{"model":"m","stream":true,"stream_options":{"include_usage":false}}',
    b'{"model":"m","service_tier":"auto","temperature":0.25,"stop":["\\ud83d\\ude00","]}"]}',
)
PROMPTS = (
    (
        b'{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","name":"ann","content":'
        b'"caf\xc3\xa9 \\"x\\" \\u00e9\\n\\ud83d\\ude00"}],"max_tokens":20,"n":2,"user":"u"}'
    ),
    (
        b'{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant",'
        b'"content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\\"a\\":1}"}}]}],'
        b'"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"max_completion_tokens":null,"max_tokens":0}'
    ),
    (
        b'{"input":["one",{"name":"two","content":"three"},[]],"instructions":"four","text":{"format":{"type":"text"}},'
        b'"max_output_tokens":7,"response_format":null,"best_of":3}'
    ),
    b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}},1,2.5,true]}]}',
    b'{"prompt":[1,2,3],"query":"q","documents":["d",{"text":"e","id":"9"}],"n":"2","messages":[]}',
)
USAGE = (
    (
        b'{"prompt_tokens":212,"completion_tokens":96,"total_tokens":308,"prompt_tokens_details":{"cached_tokens":0,'
        b'"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"accepted_prediction_tokens":0}}'
    ),
    b'{"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": null, "prompt_tokens_details": null}',
    b'{"prompt_tokens":4,"completion_tokens":2,"total_tokens":7}',
    b'{"prompt_tokens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}',
    b'{"prompt_tokens":9223372036854775808,"completion_tokens":1}',
)
ANSWERS = (
    b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"a \\"finish_reason\\":\\"no\\""},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":' + USAGE[0] + b',"system_fingerprint":"fp"}',
    b'{"choices":[{"text":"w1 w2","finish_reason":"length"},{"text":"","finish_reason":null}],"usage":null}',
    b'{"object":"list","data":[{"embedding":[0.1,-2e-7]}],"usage":{"prompt_tokens":3,"total_tokens":3}}',
    b'{"choices":[{"delta":{"content":"x"},"finish_reason":""}],"usage":' + USAGE[1] + b"}",
    b'{"choices":[{"text":5}],"usage":{"prompt_tokens":1}}',
    b'{"service_tier":"default","choices":[{"finish_reason":"stop"}],"metadata":{"service_tier":"flex"},"usage":'
    + USAGE[1]
    + b"}",
    b'{"choices":[],"service_tier":null,"service_tier":"priority"}',
    b'{"choices":[],"service_tier":1}',
    b'{"choices":[],"service_tier":"st\\u0061ndard"}',
)
HEADS = (
    (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: 1\r\nContent-Length: %d\r\n"
        b"Connection: keep-alive\r\n\r\n"
    ),
    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 \r\nContent-Length: %d\r\nconnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
)
EVENT = (
    b'data: {"choices":[{"delta":{"content":"w [DO \\"finish_reason\\":\\""},"finish_reason":null}],"usage":null}\n\n'
)
LAST = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


PIECES = (
    *(bytes([byte]) for byte in b'"\\01-.e,}] \r\n\x1f\xff'),
    *(b"", b"null", b"\r\n", b"\n\n", b"\\u00e9", b"data: [DONE]", b'"model":"n",', b'"usage":{},'),
)


@st.composite
def mutated(draw: st.DrawFn, *bases: bytes) -> bytes:
    """One of the bases, with a few bytes changed, doubled, moved or gone."""
    data = bytearray(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(0, 3))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 12))
        piece = draw(
            st.one_of(
                st.sampled_from(PIECES),
                st.just(bytes(data[at : at + size])),
                st.binary(max_size=2),
            )
        )
        data[at : at + draw(st.sampled_from([0, len(piece), size]))] = piece
    return bytes(data)


@pytest.mark.parametrize("shortcuts", RELAY, ids=kind)
@settings(max_examples=400)
@given(data=st.sampled_from(HEADS).flatmap(lambda head: mutated(head % len(ANSWERS[2]) + ANSWERS[2])))
@example(data=HEADS[0] % 0)
@example(data=b"HTTP/1.1 200 OK\r\nContent-Length: 00\r\n\r\n")
def test_a_whole_answer(shortcuts: Any, data: bytes) -> None:
    check_whole_answer(data, shortcuts)


@pytest.mark.parametrize("shortcuts", RELAY, ids=kind)
def test_the_usual_answers_are_taken_whole(shortcuts: Any) -> None:
    for head in HEADS[:2]:
        data = head % len(ANSWERS[0]) + ANSWERS[0]
        assert data[shortcuts.whole_answer(data) :] == ANSWERS[0]
        assert shortcuts.whole_answer(data[:-1]) == shortcuts.whole_answer(data + b"x") == -1


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


@pytest.mark.parametrize("shortcuts", RELAY, ids=kind)
@settings(max_examples=400)
@given(data=mutated(chunk(EVENT), chunk(EVENT * 3), chunk(LAST), chunk(b": a comment\n\n"), chunk(EVENT[:-1])))
def test_a_chunk_of_content(shortcuts: Any, data: bytes) -> None:
    check_chunk(data, shortcuts)


@pytest.mark.parametrize("shortcuts", RELAY, ids=kind)
def test_the_usual_chunks_pass(shortcuts: Any) -> None:
    assert [shortcuts.lines_of_content(chunk(EVENT * n), openai.STREAM_MARKS) for n in (1, 2, 30)] == [1, 2, 30]
    assert shortcuts.lines_of_content(chunk(LAST), openai.STREAM_MARKS) == -1
    assert shortcuts.lines_of_content(chunk(LAST), (b"xx", b"yy")) == 1
    assert shortcuts.lines_of_content(chunk(LAST), (b"xx", b"y")) == -1


@settings(max_examples=600)
@given(body=mutated(*BODIES))
def test_what_a_request_asks_for(body: bytes) -> None:
    check_request(body)


@settings(max_examples=600)
@given(body=mutated(*PROMPTS))
@example(body=PROMPTS[0])
@example(body=PROMPTS[1])
@example(body=PROMPTS[2])
@example(body=PROMPTS[3])
@example(body=PROMPTS[4])
@example(body=b'{"messages":' + b"[" * 70 + b"]" * 70 + b"}")
@example(body=b'{"messages":[' + b'{"content":"x"},' * 100 + b"{}]}")
@example(body=b'{"messages":[{' + b",".join(b'"%d":"x"' % n for n in range(20)) + b"}]}")
def test_what_a_request_is_estimated_by(body: bytes) -> None:
    check_estimate(body)


@given(
    standings=st.lists(
        st.tuples(
            st.sampled_from(["requests", "tokens", "tokens", "load", "ä", "x" * 33]),
            *(st.one_of(st.integers(-1, 2_000_000), st.integers(0, 2**64)) for _ in range(3)),
        ),
        max_size=4,
    ),
    is_azure=st.booleans(),
)
@example(standings=[("tokens", 1, 0, 999_000)], is_azure=False)
@example(standings=[("tokens", 1, 0, 999_001)], is_azure=False)
@example(standings=[("tokens", 1, 0, 5_250_000)], is_azure=False)
@example(standings=[("tokens", 1, 0, 59_999_999)], is_azure=False)
@example(standings=[("tokens", 1, 0, 3_599_000_001)], is_azure=False)
@example(
    standings=[("tokens", 9, 5, 1), ("requests", 2, 2, 2), ("tokens", 8, 4, 3), ("tokens", 7, 4, 9)], is_azure=True
)
@example(standings=[("requests", 2**63 - 1, 2**63 - 1, 2**63 - 1)] * 9, is_azure=False)
@example(standings=[(f"{n}" * 32, 2**63 - 1, 2**63 - 1, 2**63 - 1) for n in range(8)], is_azure=False)
def test_the_lines_of_limits(standings: Any, is_azure: bool) -> None:
    check_rate_limits(standings, is_azure=is_azure)


@settings(max_examples=600)
@given(body=mutated(*ANSWERS))
def test_what_an_answer_says(body: bytes) -> None:
    check_answer(body)


@settings(max_examples=600)
@given(usage=mutated(*USAGE))
def test_meters(usage: bytes) -> None:
    check_usage(usage)


def test_the_usual_is_not_left_to_the_long_way() -> None:
    compiled = not str(dialect_shortcuts.__file__).endswith(".py")
    usual = [dialect_shortcuts.asked_for(body) for body in BODIES[:3]]
    usual += [dialect_shortcuts.answered(body) for body in (*ANSWERS[:3], ANSWERS[5])]  # type: ignore[misc]
    usual += [dialect_shortcuts.text_meters(usage) for usage in USAGE[:2]]  # type: ignore[misc]
    usual += [dialect_shortcuts.prompted(body) for body in PROMPTS[:3]]  # type: ignore[misc]
    usual.append(edge_shortcuts.rate_limits_of([("tokens", 9, 3, 250_000)], False))  # type: ignore[arg-type]
    assert all((found is not None) == compiled for found in usual)
    with pytest.raises(EntrepotError):
        openai.read_request(BODIES[0][:-1])


def test_what_stands_in_a_long_text() -> None:
    """Wherever it stands, though letters are passed over many at a time."""
    compiled = not str(dialect_shortcuts.__file__).endswith(".py")
    letters = b"0123456789abcdef" * 14
    for at in range(len(letters) + 1):
        for piece in (b'"', b"\\", b"\\n", b"\\u00e9", b"\0", b"\x1f", b"\x7f", "é".encode()):
            body = b'{"model":"m","messages":"' + letters[:at] + piece + letters[at:] + b'"}'
            assert (dialect_shortcuts.asked_for(body) is not None) == (compiled and is_json(body)), body


@given(body=st.lists(st.sampled_from([b",", b"[", b"{", b"words", b"\0"])).map(b"".join), most=st.integers(-1, 50))
def test_how_many_values_there_may_be(body: bytes, most: int) -> None:
    values = sum({",": 1, "[": 4, "{": 4}.get(letter, 0) for letter in body.decode())
    for shortcuts in DIALECTS:
        assert shortcuts.has_more_values(body, most) == (values > most)


def is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("shortcuts", CORE, ids=kind)
@given(
    at=st.integers(0, 2**47), instance=st.integers(0, 2**32 - 1), sequence=st.integers(0, 2**50), payload=st.binary()
)
def test_ids_and_frames(shortcuts: Any, at: int, instance: int, sequence: int, payload: bytes) -> None:
    assert shortcuts.event_id(at * 1000, instance, sequence) == f"{at:012x}{instance:08x}{sequence % 2**48:012x}"
    if payload:
        framed = shortcuts.frame(payload)
        assert split_frames(framed, 0, 0, len(framed)).payloads == [payload]


@pytest.mark.parametrize("shortcuts", CORE, ids=kind)
def test_frames_of_every_length(shortcuts: Any) -> None:
    """However many bytes the checksum takes at a step, and wherever they lie."""
    content = bytes(number * 37 % 251 for number in range(700))
    for length in range(1, 400):
        payload = content[length % 9 : length % 9 + length]
        assert shortcuts.frame(payload) == frame(payload)


def built(shape: Any) -> st.SearchStrategy[Any]:
    """Values of a record's class, every field of it drawn by its type, so that a field that is added is drawn, too."""
    hints = get_type_hints(shape)
    drawn = {field.name: like(hints[field.name]) for field in msgspec.structs.fields(shape)}
    return st.builds(shape, **drawn)


def like(hint: Any) -> st.SearchStrategy[Any]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return built(hint)
    if get_origin(hint) is tuple and get_args(hint)[1:] == (...,):
        return st.lists(like(get_args(hint)[0]), max_size=3).map(tuple)
    if hint is int:
        return st.one_of(st.integers(0, 300), st.integers(-(2**63), 2**63 - 1))
    if hint is str:
        return st.one_of(st.text(max_size=5), st.text("ab-09", max_size=300))
    if hint is bytes:
        return st.one_of(st.binary(max_size=9), st.sampled_from([255, 256, 5_000, 70_000]).map(bytes))
    return st.from_type(hint)


@pytest.mark.parametrize("shortcuts", CORE, ids=kind)
@pytest.mark.parametrize("shape", get_args(LogRecord), ids=lambda shape: shape.__name__)
@settings(max_examples=30)
@given(data=st.data())
def test_records(shortcuts: Any, shape: Any, data: st.DataObject) -> None:
    check_record(data.draw(built(shape)), shortcuts)


def test_the_usual_records_are_not_left_to_the_long_way() -> None:
    event = UsageEvent(
        id="0" * 32, admitted_at=1, finished_at=2**50, customer="c", project="p", deployment="d", model="m",
        tier="default", meters={"input_tokens": 212, "output_tokens": 70_000}, raw=USAGE[0],
    )  # fmt: skip
    admitted = Admitted(
        id="0" * 32, at=1, instance="i", customer="c", project="p", deployment="d", model="m" * 40, tier="default",
        upstream="u", key="k", prompt_tokens_estimate=5, counts=(("characters", 3),),
    )  # fmt: skip
    for shortcuts in CORE:
        for record in (admitted, UsageRecorded(event)):
            expected = frame(encode_record(record)) if kind(shortcuts) == "compiled" else None
            assert shortcuts.framed(record) == expected
        disordered = msgspec.structs.replace(event, meters={"output_tokens": 1, "input_tokens": 2})
        assert shortcuts.framed(UsageRecorded(disordered)) is None
        assert shortcuts.framed(UsageRecorded(msgspec.structs.replace(event, raw=bytes(5000)))) is None
        assert shortcuts.framed(object()) is shortcuts.framed("text") is None


@given(
    status=st.integers(100, 999),
    texts=st.lists(st.text(st.characters(max_codepoint=255), max_size=40), min_size=3, max_size=3),
    took_ms=st.integers(0, 2**40),
    body=st.binary(max_size=200),
)
def test_whole_answers(status: int, texts: list[str], took_ms: int, body: bytes) -> None:
    media_type, fields, request_id = texts
    said = status, media_type, fields, request_id, took_ms, body
    assert http_answers.whole_answer(*said) == LONG_ANSWERS.whole_answer(*said)
    with pytest.raises(UnicodeEncodeError):
        http_answers.whole_answer(status, media_type, "x: \u20ac\r\n", request_id, took_ms, body)


REQUEST_HEADS = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nAuthorization: Bearer k",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\ncontent-length:%d",
)


@settings(max_examples=600)
@given(data=st.data(), body_bytes=st.sampled_from([0, 5, 100]), head_bytes=st.integers(60, 120))
def test_repeated_requests(data: st.DataObject, body_bytes: int, head_bytes: int) -> None:
    """A request that repeats a head is read as it would be if it were the first."""
    limits = RequestLimits(head_bytes=head_bytes, body_bytes=body_bytes)
    reader = RequestReader(limits)
    head = data.draw(st.sampled_from(REQUEST_HEADS))
    for body in data.draw(st.lists(st.binary(max_size=9), min_size=2, max_size=4)):
        request = data.draw(mutated(head % len(body) + b"\r\n\r\n" + body))
        read = read_requests(reader, request)
        assert read == read_requests(RequestReader(limits), request)
        if reader.has_begun or read[-1:] == [None]:
            break


def read_requests(reader: RequestReader, data: bytes) -> list[object]:
    """The paths and bodies of the requests in data, and what is wrong with it, with None behind."""
    read: list[object] = []
    try:
        found = reader.feed(data)
        while found is not None:
            read.append((found.head.path, found.head.credential.text, found.body))
            found = reader.feed(b"")
    except Refusal as refusal:
        read += [refusal.status, None]
    return read


@given(head=st.binary(max_size=30), request_id=st.text(max_size=9), body=st.binary(max_size=30))
def test_requests_to_upstreams(head: bytes, request_id: str, body: bytes) -> None:
    for shortcuts in RELAY:
        made = shortcuts.request_of(head, request_id, body)
        if kind(shortcuts) == "compiled" and request_id.isascii():
            assert made == b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (head, request_id.encode(), len(body), body)
        else:
            assert made is None
