"""Rows of docs/operations/usage-rules.md: how a request ends, what the client gets, what the log holds.

Others are in the other modules here: what needs processes of its own, the cache, further upstreams, clients that leave.
"""

from collections.abc import Iterator
from typing import get_args

import pytest

from entrepot.core.log_records import Abandoned, Admitted, UsageRecorded
from entrepot.core.usage_event import Outcome, UsageEvent
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import ask, chat, read_to_end, read_until, request_bytes
from tests.support.usage_rows import row, rows_of_the_document, rows_with_a_test, words_of_the_document


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def leave_after(gateway: Gateway, prompt: str, mark: bytes) -> None:
    """A client of a stream that leaves once it has read the mark."""
    with gateway.connect() as client:
        client.sendall(request_bytes(chat(prompt, stream=True)))
        if mark:
            read_until(client, mark)
        else:
            eventually(lambda: gateway.upstream.served)


def served(gateway: Gateway) -> str:
    """What the upstream says became of the one request."""
    [found] = gateway.upstream.served.values()
    return found.state


def as_reported(gateway: Gateway, outcome: str) -> UsageEvent:
    """The usage event, which says what the upstream served."""
    usage = gateway.usage()
    [found] = gateway.upstream.served.values()
    assert usage.id == gateway.admitted().id == found.id
    assert (usage.outcome, usage.source) == (outcome, "reported")
    assert usage.meters == {"input_tokens": found.prompt_tokens, "output_tokens": found.completion_tokens}
    assert b'"prompt_tokens":' in usage.raw
    assert (usage.customer, usage.project, usage.deployment, usage.model, usage.key, usage.upstream, usage.tier) == (
        "acme", "search", "chat", "model-of-chat", "key-1", "up", "default",
    )  # fmt: skip
    return usage


@row("stop")
@pytest.mark.parametrize("stream", [False, True])
def test_stop(gateway: Gateway, stream: bool) -> None:
    reply = ask(gateway, chat("two words [[chunks=5]]", stream=stream))
    assert reply.status == 200
    usage = as_reported(gateway, "stop")
    assert usage.meters["output_tokens"] == 5
    assert reply.headers["x-request-id"] == usage.id
    if stream:
        assert reply.events()[-1] == "[DONE]"
        assert "usage" not in reply.body.decode()


@row("stop")
def test_nothing_of_the_end_leaves_before_the_usage_is_durable(gateway: Gateway) -> None:
    gateway.sink.hold = True
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=2]]", stream=True)))
        read = read_until(client, b'"finish_reason":"stop"')
        gateway.usage()
        assert b"[DONE]" not in read
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(60)
        gateway.do(gateway.sink.release)
        assert read_until(client, b"0\r\n\r\n") == b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


@row("stop")
def test_nothing_of_a_whole_answer_leaves_before_the_usage_is_durable(gateway: Gateway) -> None:
    gateway.sink.hold = True
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi")))
        gateway.usage()
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(60)
        gateway.do(gateway.sink.release)
        assert read_until(client, b"w1 w2 w3").startswith(b"HTTP/1.1 200 OK")


@row("length")
@pytest.mark.parametrize("stream", [False, True])
def test_length(gateway: Gateway, stream: bool) -> None:
    ask(gateway, chat("hi [[finish=length]]", stream=stream))
    as_reported(gateway, "length")


@row("tool calls")
@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls(gateway: Gateway, stream: bool) -> None:
    reply = ask(gateway, chat("hi [[tool=1]]", stream=stream))
    assert b'"name":"look"' in reply.body
    as_reported(gateway, "tool_calls")


@row("content filter")
@pytest.mark.parametrize("stream", [False, True])
def test_content_filter(gateway: Gateway, stream: bool) -> None:
    ask(gateway, chat("hi [[finish=content_filter]]", stream=stream))
    as_reported(gateway, "content_filter")


@row("content filter")
def test_a_prompt_that_the_upstreams_filter_refuses(gateway: Gateway) -> None:
    reply = ask(gateway, chat("hi [[status=400 code=content_filter]]"))
    assert (reply.status, reply.error["code"]) == (400, "content_filter")
    usage = gateway.usage()
    assert (usage.outcome, usage.meters, usage.raw) == ("content_filter", {}, b"")


@row("client left early")
def test_client_left_early(gateway: Gateway) -> None:
    leave_after(gateway, "hi [[stall=0]]", b"")
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("client_left", False, 0)
    eventually(lambda: served(gateway) == "cancelled")


@row("client left midway")
def test_client_left_midway(gateway: Gateway) -> None:
    leave_after(gateway, "hi [[chunks=5 stall=2]]", b"w2 ")
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("client_left", True, 2)
    eventually(lambda: served(gateway) == "cancelled")


@row("client left after usage")
def test_client_left_after_usage(gateway: Gateway) -> None:
    leave_after(gateway, "hi [[pause=usage]]", b'"finish_reason":"stop"')
    as_reported(gateway, "client_left")
    assert gateway.of(Abandoned) == []
    eventually(lambda: served(gateway) == "cancelled")


@row("client left after usage")
def test_a_client_that_leaves_while_its_usage_is_on_the_way_to_the_disk(gateway: Gateway) -> None:
    gateway.sink.hold = True
    leave_after(gateway, "hi", b'"finish_reason":"stop"')
    eventually(lambda: not gateway.api.connections)
    gateway.do(gateway.sink.release)
    as_reported(gateway, "stop")
    assert gateway.of(Abandoned) == []


@row("upstream unreachable")
def test_upstream_unreachable(gateway: Gateway) -> None:
    gone = target("http://127.0.0.1:1/v1", "gone")
    gateway.serve(deployment("chat", gone))
    reply = ask(gateway, chat("hi"))
    assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
    assert "127.0.0.1" not in reply.body.decode()
    assert reply.headers["retry-after"] == "1"
    assert gateway.sink.records == []


@row("upstream failed early")
@pytest.mark.parametrize("how", ["break=0", "break=0 reset=1"])
def test_upstream_failed_early(gateway: Gateway, how: str) -> None:
    reply = ask(gateway, chat(f"hi [[{how}]]", stream=True))
    assert (reply.status, reply.error["code"]) == (502, "upstream_failed")
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("upstream_failed", False, 0)


@row("upstream failed midway")
@pytest.mark.parametrize("how", ["break=2", "break=2 reset=1", "break=2 end=early", "break=2 usage=growing"])
def test_upstream_failed_midway(gateway: Gateway, how: str) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(chat(f"hi [[chunks=5 {how}]]", stream=True)))
        read = read_to_end(client)
    assert b'data: {"error":{"message":"The upstream broke off' in read
    assert b'"code":"upstream_failed"' in read
    assert not read.endswith(b"0\r\n\r\n")
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("upstream_failed", True, 2)


@row("upstream failed midway")
def test_upstream_failed_in_the_middle_of_a_whole_answer(gateway: Gateway) -> None:
    reply = ask(gateway, chat("hi [[cut=1]]"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_failed")
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("upstream_failed", True, 0)


@row("upstream failed after usage")
def test_upstream_failed_after_usage(gateway: Gateway) -> None:
    reply = ask(gateway, chat("hi [[pause=usage break=usage]]", stream=True))
    assert b'"code":"upstream_failed"' in reply.body
    as_reported(gateway, "upstream_failed")
    assert gateway.of(Abandoned) == []


@row("upstream silent")
def test_upstream_silent_from_the_start(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[stall=0]]")))
        eventually(lambda: gateway.upstream.served)
        gateway.later(gateway.upstream_limits.first_byte_s - 5)
        assert gateway.of(Abandoned) == []
        gateway.later(gateway.upstream_limits.first_byte_s + 5)
        read = read_until(client, b"upstream_timeout")
    assert read.startswith(b"HTTP/1.1 504 ")
    assert not gateway.abandoned().answered
    eventually(lambda: served(gateway) == "cancelled")


@row("upstream silent")
def test_upstream_silent_in_a_stream(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[stall=1]]", stream=True)))
        read_until(client, b"w1 ")
        gateway.later(gateway.upstream_limits.silence_s + 5)
        read = read_to_end(client)
    assert b'"code":"upstream_timeout"' in read
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("upstream_failed", True, 1)


@row("upstream refused")
@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_upstream_refused(gateway: Gateway, status: int) -> None:
    reply = ask(gateway, chat(f"hi [[status={status}]]", stream=status == 429))
    assert (reply.status, reply.error["code"], reply.error["type"]) == (status, "scripted", "scripted")
    assert reply.error["message"] == "told to fail by http://[upstream]/v1"
    assert reply.headers.get("retry-after") == ("7" if status == 429 else None)
    usage = gateway.usage()
    assert (usage.outcome, usage.meters, usage.source, usage.raw) == ("upstream_failed", {}, "reported", b"")


@row("upstream refused us")
@pytest.mark.parametrize("status", [301, 307, 401, 403])
def test_upstream_refused_us(gateway: Gateway, status: int) -> None:
    reply = ask(gateway, chat(f"hi [[status={status}]]"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_failed")
    assert "told to fail" not in reply.body.decode()
    usage = gateway.usage()
    assert (usage.outcome, usage.meters) == ("upstream_failed", {})


@row("upstream answered junk")
@pytest.mark.parametrize("how", ["junk=1", "gzip=1"])
def test_upstream_answered_junk(gateway: Gateway, how: str) -> None:
    reply = ask(gateway, chat(f"hi [[{how}]]"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_failed")
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered) == ("upstream_failed", True)


@row("upstream answered junk")
def test_an_answer_without_any_end(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot.relay.attempt.ANSWER_BYTES_MAX", 1_000_000)
    reply = ask(gateway, chat("hi [[pad=999000]]"))
    assert reply.status == 502
    assert gateway.abandoned().answered


@row("stream without usage")
def test_stream_without_usage(gateway: Gateway) -> None:
    body = chat("hi [[chunks=4 usage=no finish=length]]", stream=True)
    assert ask(gateway, body).events()[-1] == "[DONE]"
    usage = gateway.usage()
    assert (usage.outcome, usage.source, usage.raw) == ("length", "counted", b"")
    assert usage.meters == {"input_tokens": len(body) // 4, "output_tokens": 4}
    assert gateway.admitted().prompt_tokens_estimate == len(body) // 4


@row("answer without usage")
def test_answer_without_usage(gateway: Gateway) -> None:
    body = chat("hi [[usage=no]]")
    assert ask(gateway, body).status == 200
    usage = gateway.usage()
    assert (usage.outcome, usage.source) == ("stop", "counted")
    assert usage.meters == {"input_tokens": len(body) // 4, "output_tokens": 2}  # w1 w2 w3


@row("answer without usage")
def test_embeddings_without_usage(gateway: Gateway) -> None:
    reply = ask(gateway, b'{"model":"embed","input":["a","b [[usage=no]]"]}', path="/v1/embeddings")
    assert len(reply.json()["data"]) == 2
    assert gateway.usage().meters == {"input_tokens": 12}


@row("usage does not sum up")
@pytest.mark.parametrize("stream", [False, True])
def test_usage_does_not_sum_up(gateway: Gateway, stream: bool) -> None:
    assert ask(gateway, chat("hi [[usage=bad]]", stream=stream)).status == 200
    usage = gateway.usage()
    assert (usage.outcome, usage.source, usage.meters) == ("stop", "reported", {})
    assert b'"total_tokens":5' in usage.raw
    assert gateway.flow.shared.mismatches == 1


@row("log failed on an answer")
def test_log_failed_on_an_answer(gateway: Gateway) -> None:
    gateway.sink.failing = True
    reply = ask(gateway, chat("hi"))
    assert (reply.status, reply.error["code"]) == (503, "usage_log_unavailable")
    assert "w1" not in reply.body.decode()
    owed_is_written(gateway)


@row("log failed on a stream")
def test_log_failed_on_a_stream(gateway: Gateway) -> None:
    gateway.sink.failing = True
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi", stream=True)))
        read = read_to_end(client)
    assert b'data: {"error":{"message":"Usage cannot be recorded' in read
    assert b"[DONE]" not in read
    assert not read.endswith(b"0\r\n\r\n")
    owed_is_written(gateway)


def owed_is_written(gateway: Gateway) -> None:
    """The usage that the log did not take is in it, once, when it takes records again."""
    assert gateway.of(UsageRecorded) == []
    assert gateway.flow.usage.owed == 1
    gateway.do(gateway.sink.recover)
    as_reported(gateway, "stop")
    assert gateway.flow.usage.owed == 0


@row("log unavailable")
def test_log_unavailable(gateway: Gateway) -> None:
    gateway.sink.available = False
    reply = ask(gateway, chat("hi"))
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "usage_log_unavailable", "1")
    assert gateway.sink.records == []
    assert gateway.upstream.served == {}


@row("refused here")
@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        (chat("hi", model="none"), "/v1/chat/completions", 404),
        (b"{", "/v1/chat/completions", 400),
        (chat("hi", model="embed"), "/v1/chat/completions", 400),
        (chat("hi"), "/v1/nothing", 404),
    ],
)
def test_refused_here(gateway: Gateway, body: bytes, path: str, status: int) -> None:
    assert ask(gateway, body, path=path).status == status
    assert gateway.sink.records == []


def test_the_admission_comes_before_the_request_and_once_only(gateway: Gateway) -> None:
    ask(gateway, chat("hi [[stale=1]]"))
    ask(gateway, chat("hi"))
    assert [type(record) for record in gateway.sink.records] == [Admitted, UsageRecorded, Admitted, UsageRecorded]


def test_every_row_of_the_document_has_a_test() -> None:
    assert len(rows_of_the_document()) > 30
    assert rows_with_a_test() == rows_of_the_document()


def test_every_outcome_is_in_a_row_of_the_document() -> None:
    assert set(get_args(Outcome)) - {"imported"} <= words_of_the_document()
