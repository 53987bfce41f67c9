"""An OpenTelemetry collector's receiving end: takes OTLP over HTTP as JSON, and knows it by the official messages."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What was received. status: what it answers with; gate: cleared, it answers nobody.

    hangs_up: closes the connection after each answer, without having said so.
    """

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.status = 200
        self.hangs_up = False
        self.gate = threading.Event()
        self.gate.set()
        self.url = ""

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def take(self, path: str, media_type: str | None, body: bytes) -> None:
        assert (path, media_type) == ("/v1/traces", "application/json")
        request = ExportTraceServiceRequest()
        json_format.Parse(json.dumps(_ids_as_protobuf_has_them(json.loads(body))), request)
        self.requests.append(request)


def attributes_of(span: Span) -> dict[str, Any]:
    """{name: value} of a span."""
    found: dict[str, Any] = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        assert kind is not None
        value = getattr(attribute.value, kind)
        found[attribute.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


@contextmanager
def running_collector() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            collector.gate.wait(60)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if collector.status == 200:
                collector.take(self.path, self.headers["Content-Type"], body)
            self.send_response(collector.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            self.close_connection = collector.hangs_up

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is named there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _ids_as_protobuf_has_them(found: Any) -> Any:
    """OTLP writes ids in hex, where JSON of protocol buffers has bytes in base64."""
    if isinstance(found, list):
        return [_ids_as_protobuf_has_them(item) for item in found]
    if not isinstance(found, dict):
        return found
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode()
        if name in {"traceId", "spanId", "parentSpanId"}
        else _ids_as_protobuf_has_them(value)
        for name, value in found.items()
    }
