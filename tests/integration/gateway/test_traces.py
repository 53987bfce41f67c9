"""Traces as a collector gets them: spans that fit together, ids that lead to the log, and nothing of what was said."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from entrepot.adapters.handed_on.otlp_exporter import OtlpExporter
from entrepot.edge.gateway_report import Watchers
from entrepot.edge.tracing import Tracer
from tests.support.gateway import KEY, Gateway, MemoryBoard, deployment, eventually, running_gateway, target
from tests.support.otlp_collector import Collector, attributes_of, running_collector
from tests.support.requests import ask, chat, read_until, request_bytes

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
SECRET = "a-word-of-the-prompt"


class Traced:
    """A gateway that records a share of its requests, and the collector."""

    def __init__(self, gateway: Gateway, collector: Collector) -> None:
        self.gateway = gateway
        self.collector = collector

    def wait_for(self, count: int) -> None:
        """Returns once there are so many spans."""

        def arrived() -> bool:
            self.gateway.do(self.gateway.api.report.sweep)
            return len(self.collector.spans()) >= count

        eventually(arrived)

    def spans(self, count: int) -> dict[str, Span]:
        """The spans by name, once there are so many."""
        self.wait_for(count)
        found = {span.name: span for span in self.collector.spans()}
        assert len(found) == count
        return found


@contextmanager
def traced(share: float) -> Iterator[Traced]:
    with running_collector() as collector:
        exporter = OtlpExporter(collector.url)
        tracer = Tracer(share, exporter, {"service.name": "entrepot-gateway"})
        with running_gateway(watchers=Watchers(MemoryBoard(), None, tracer)) as gateway:
            yield Traced(gateway, collector)
        exporter.close()


@pytest.fixture
def all_traced() -> Iterator[Traced]:
    with traced(1.0) as running:
        yield running


def headed(flags: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}", "traceparent": f"00-{TRACE}-{SPAN}-{flags}"}


def upstream_parent(gateway: Gateway) -> str | None:
    """The traceparent that the upstream got with the one request."""
    [served] = gateway.upstream.served.values()
    return served.heads[-1].get("traceparent")


def test_a_request_is_one_trace_with_its_own_id(all_traced: Traced) -> None:
    reply = ask(all_traced.gateway, chat("two words [[chunks=4]]"))
    spans = all_traced.spans(5)
    assert {span.trace_id.hex() for span in spans.values()} == {reply.headers["x-request-id"]}
    whole, attempt = spans["POST /v1/chat/completions"], spans["chat model-of-chat"]
    assert not whole.parent_span_id
    assert {span.parent_span_id for span in spans.values()} == {b"", whole.span_id}
    assert len({span.span_id for span in spans.values()}) == 5
    assert (whole.kind, attempt.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert upstream_parent(all_traced.gateway) == f"00-{whole.trace_id.hex()}-{attempt.span_id.hex()}-01"
    order = ["identify caller", "find upstream", "chat model-of-chat", "wait for usage log"]
    starts = [whole.start_time_unix_nano, *(spans[name].start_time_unix_nano for name in order)]
    assert starts == sorted(starts)
    assert max(span.end_time_unix_nano for span in spans.values()) == whole.end_time_unix_nano


def test_what_spans_say(all_traced: Traced) -> None:
    reply = ask(all_traced.gateway, chat("two words [[chunks=4]]"), headers={"api-key": KEY, "x-request-id": "theirs"})
    spans = all_traced.spans(5)
    assert attributes_of(spans["POST /v1/chat/completions"]) == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "entrepot.request_id": reply.headers["x-request-id"],
        "entrepot.client_request_id": "theirs",
        "entrepot.customer": "acme",
        "entrepot.project": "search",
        "entrepot.deployment": "chat",
        "entrepot.tier": "default",
        "entrepot.outcome": "stop",
    }
    attempt = attributes_of(spans["chat model-of-chat"])
    assert attempt.pop("entrepot.connected_us") > 0
    assert attempt == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "maker",
        "gen_ai.request.model": "model-of-chat",
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.response.finish_reasons": ["stop"],
        "http.response.status_code": 200,
        "entrepot.upstream": "up",
    }
    [resource] = [item.resource for request in all_traced.collector.requests for item in request.resource_spans]
    assert [(item.key, item.value.string_value) for item in resource.attributes] == [
        ("service.name", "entrepot-gateway")
    ]


def test_neither_prompt_nor_answer_nor_key_is_in_it(all_traced: Traced) -> None:
    ask(all_traced.gateway, chat(SECRET))
    all_traced.spans(5)
    text = str(all_traced.collector.requests)
    for never in (SECRET, KEY, "w1"):
        assert never not in text


def test_a_stream(all_traced: Traced) -> None:
    ask(all_traced.gateway, chat("hi [[chunks=3 delay=0.01]]", stream=True))
    spans = all_traced.spans(5)
    first_us = attributes_of(spans["POST /v1/chat/completions"])["entrepot.first_event_us"]
    attempt = spans["chat model-of-chat"]
    assert 0 < first_us < (attempt.end_time_unix_nano - spans["identify caller"].start_time_unix_nano) // 1000


def test_each_attempt_has_a_span(all_traced: Traced) -> None:
    nowhere = target("http://127.0.0.1:1/v1", upstream="first")
    all_traced.gateway.serve(
        deployment("chat", nowhere, target(all_traced.gateway.upstream.base_url, upstream="second"))
    )
    ask(all_traced.gateway, chat("hi"))
    all_traced.wait_for(6)
    attempts = [span for span in all_traced.collector.spans() if span.kind == Span.SPAN_KIND_CLIENT]
    assert [attributes_of(span)["entrepot.upstream"] for span in attempts] == ["first", "second"]
    assert attributes_of(attempts[0])["error.type"] == "unreachable"
    assert [span.status.code for span in attempts] == [Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET]
    assert attempts[0].end_time_unix_nano <= attempts[1].start_time_unix_nano
    assert upstream_parent(all_traced.gateway) == f"00-{attempts[1].trace_id.hex()}-{attempts[1].span_id.hex()}-01"


@pytest.mark.parametrize(
    ("prompt", "stream"), [("hi [[break=0]]", False), ("hi [[break=2]]", True), ("hi [[status=500]]", False)]
)
def test_what_failed_is_marked(all_traced: Traced, prompt: str, stream: bool) -> None:
    ask(all_traced.gateway, chat(prompt, stream=stream))
    all_traced.wait_for(4)
    codes = {span.kind: span.status.code for span in all_traced.collector.spans()}
    assert codes[Span.SPAN_KIND_SERVER] == codes[Span.SPAN_KIND_CLIENT] == Status.STATUS_CODE_ERROR


def test_a_refusal_is_a_span_of_its_own_and_no_fault_of_ours(all_traced: Traced) -> None:
    ask(all_traced.gateway, chat("hi", model="none"))
    span = all_traced.spans(2)["POST /v1/chat/completions"]
    assert attributes_of(span)["error.type"] == "deployment_not_found"
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_a_client_that_leaves(all_traced: Traced) -> None:
    with all_traced.gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=2 stall=1]]", stream=True)))
        read_until(client, b"w1")
    found = attributes_of(all_traced.spans(4)["POST /v1/chat/completions"])
    assert (found["entrepot.outcome"], found["error.type"]) == ("client_left", "client_left")


def test_a_recorded_trace_goes_on_here_whatever_the_share() -> None:
    with traced(0.0) as running:
        ask(running.gateway, chat("hi"), headers=headed("01"))
        spans = running.spans(5)
        whole = spans["POST /v1/chat/completions"]
        assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE, SPAN)
        attempt = spans["chat model-of-chat"].span_id.hex()
        assert upstream_parent(running.gateway) == f"00-{TRACE}-{attempt}-01"


def test_a_trace_that_is_not_recorded_passes_through_whatever_the_share(all_traced: Traced) -> None:
    ask(all_traced.gateway, chat("hi"), headers=headed("00"))
    assert upstream_parent(all_traced.gateway) == f"00-{TRACE}-{SPAN}-00"
    ask(all_traced.gateway, chat("hi"))
    assert {span.trace_id.hex() for span in all_traced.spans(5).values()} != {TRACE}


def test_without_traces_a_parent_still_reaches_the_upstream() -> None:
    with running_gateway() as gateway:
        ask(gateway, chat("hi"), headers=headed("01"))
        assert upstream_parent(gateway) == f"00-{TRACE}-{SPAN}-01"


def test_a_share_is_recorded() -> None:
    with running_collector() as collector:
        tracer = Tracer(0.25, OtlpExporter(collector.url), {})
    ids = [f"01a204b8fc582132045e{number:012x}" for number in range(10_000)]
    assert 2_300 < sum(tracer.records(request_id, None) for request_id in ids) < 2_700
    assert not any(Tracer(0.0, tracer.sink, {}).records(request_id, None) for request_id in ids)
    assert all(Tracer(1.0, tracer.sink, {}).records(request_id, None) for request_id in ids)


def test_no_collector_no_harm() -> None:
    exporter = OtlpExporter("http://127.0.0.1:1")
    tracer = Tracer(1.0, exporter, {})
    with running_gateway(watchers=Watchers(MemoryBoard(), None, tracer)) as gateway:
        assert ask(gateway, chat("hi")).status == 200
        gateway.do(gateway.api.report.sweep)
        eventually(lambda: exporter.dropped == 5)
        metrics = ask(gateway, path="/metrics").body.decode()
    assert "entrepot_spans_dropped_total 5\n" in metrics
    exporter.close()
