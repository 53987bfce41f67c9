"""What we know nothing of passes as it was written, both ways: unknown fields, events, parts of forms."""

from collections.abc import Iterator

import pytest

from tests.support.fed_stream import HEAD, chunk
from tests.support.gateway import KEY, Gateway, deployment, running_gateway, target
from tests.support.recording_upstream import recording, whole
from tests.support.requests import AZURE, Reply, ask

# What parsing and writing again would change: spaces, the form of numbers and escapes, members twice, and their order.
ODD = rb'"x_new":{"b":[1.0e5,  1e-7, 18446744073709551616, -0.0], "a":"\u00e9\/ ", "a":null}'
OPERATIONS = {
    "/v1/chat/completions": ("chat", b'"messages":[{"role":"user","content":"hi"}]'),
    AZURE.format("any"): ("chat", b'"messages":[{"role":"user","content":"hi"}]'),
    "/v1/completions": ("completions", b'"prompt":"hi"'),
    "/v1/embeddings": ("embeddings", b'"input":["hi"]'),
    "/v1/responses": ("responses", b'"input":"hi","store":false'),
    "/v1/images/generations": ("images", b'"prompt":"hi"'),
    "/v1/moderations": ("moderations", b'"input":"hi"'),
    "/v1/rerank": ("rerank", b'"query":"hi","documents":["a"]'),
}
FORM = (
    b'--cut\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
    b'--cut\r\nContent-Disposition: form-data; name="x_new"\r\nX-Z: 1\r\n\r\n' + ODD + b"\r\n"
    b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\0\xff\r\n--cut--\r\n'
)
UNKNOWN_EVENTS = [
    b'event: response.something_new\ndata: {"type":"response.something_new",' + ODD + b"}\n\n",
    b": only a comment\n\n",
    b"id: 7\nretry: 10\ndata: {" + ODD + b"}\n\n",
]
USAGE = b'{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5, ' + ODD + b"}"
RESPONSE_USAGE = b'{"input_tokens":2,"output_tokens":3,"total_tokens":5}'
STREAMS = {
    "/v1/chat/completions": [
        b'data: {"choices":[{"delta":{"content":"w"},' + ODD + b"}]}\n\n",
        *UNKNOWN_EVENTS,
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
        b'data: {"choices":[],"usage":' + USAGE + b"}\n\n",
        b"data: [DONE]\n\n",
    ],
    "/v1/responses": [
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"w",' + ODD + b"}\n\n",
        *UNKNOWN_EVENTS,
        b'event: response.completed\ndata: {"type":"response.completed","response":{"status":"completed",'
        b'"usage":' + RESPONSE_USAGE + b"," + ODD + b"}}\n\n",
    ],
}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def exchanged(
    gateway: Gateway, path: str, operation: str, body: bytes, answer: bytes, kind: str = ""
) -> tuple[bytes, Reply]:
    """The body that the upstream got, and what the client got of its answer."""
    with recording(gateway, answer) as upstream:
        gateway.serve(deployment("any", target(upstream.base_url), operations=(operation,)))
        headers = {"api-key": KEY, "Content-Type": kind or "application/json"}
        reply = ask(gateway, body, path=path, headers=headers)
        [(_, _, _, received)] = upstream.messages
    return received, reply


@pytest.mark.parametrize("path", OPERATIONS)
def test_unknown_fields_of_requests_and_answers(gateway: Gateway, path: str) -> None:
    operation, what = OPERATIONS[path]
    asked = b'{"model":"any",' + what + b"," + ODD + b"}"
    answered = b'{ "object" :"x",' + ODD + b', "usage": ' + USAGE + b"}"
    received, reply = exchanged(gateway, path, operation, asked, whole(answered))
    assert received == asked.replace(b'"any"', b'"upstream-model"')
    assert (reply.status, reply.body) == (200, answered)


def test_unknown_fields_beside_a_text_to_speak_and_whatever_is_called_sound(gateway: Gateway) -> None:
    asked = b'{"model":"any","input":"hi","voice":"alloy",' + ODD + b"}"
    sound = bytes(range(256)) * 5
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: audio/x-new\r\nContent-Length: %d\r\n\r\n" % len(sound) + sound
    received, reply = exchanged(gateway, "/v1/audio/speech", "speech", asked, answer)
    assert received == asked.replace(b'"any"', b'"upstream-model"')
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "audio/x-new", sound)


def test_sound_that_begins_as_json_does(gateway: Gateway) -> None:
    sound = b"{\0" * 1000
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\nContent-Length: 2000\r\n\r\n" + sound
    body = b'{"model":"any","input":"hi"}'
    _, reply = exchanged(gateway, "/v1/audio/speech", "speech", body, answer)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "audio/pcm", sound)
    assert gateway.usage().meters == {"characters": 2}


def test_unknown_parts_of_a_form(gateway: Gateway) -> None:
    answered = b'{"text":"hi",' + ODD + b',"usage":{"type":"duration","seconds":3}}'
    path, kind = "/v1/audio/transcriptions", "multipart/form-data; boundary=cut"
    received, reply = exchanged(gateway, path, "transcriptions", FORM % b"any", whole(answered), kind)
    assert received == FORM % b"upstream-model"
    assert (reply.status, reply.body) == (200, answered)


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("piece", [1, 33, 10_000])
def test_unknown_events_and_members_of_a_stream(gateway: Gateway, path: str, piece: int) -> None:
    events = b"".join(STREAMS[path])
    answer = HEAD + b"".join(chunk(events[at : at + piece]) for at in range(0, len(events), piece)) + b"0\r\n\r\n"
    operation, what = OPERATIONS[path]
    options = b',"stream_options":{"include_usage":true}' if operation == "chat" else b""
    asked = b'{"model":"any","stream":true' + options + b"," + what + b"," + ODD + b"}"
    received, reply = exchanged(gateway, path, operation, asked, answer)
    assert received == asked.replace(b'"any"', b'"upstream-model"')
    assert (reply.status, reply.body) == (200, events)
    assert gateway.usage().meters == {"input_tokens": 2, "output_tokens": 3}
