"""Asking an upstream what it served, over a real socket: what counts as an answer, and what says nothing."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from entrepot.adapters.upstream_usage_http import ANSWER_BYTES_MAX, HttpUpstreamUsage
from entrepot.core.catalog import Upstream
from entrepot.ports.upstream_usage import ServedUsage

FINISHED = b'{"id":"r1","state":"finished","usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'


class Asked:
    """What a server was asked and what it answers."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body
        self.paths: list[str] = []
        self.keys: list[str | None] = []


@contextmanager
def serving(asked: Asked) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.paths.append(self.path)
            asked.keys.append(self.headers["authorization"])
            self.send_response(asked.status)
            self.send_header("content-length", str(len(asked.body)))
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(asked.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def upstream(base_url: str = "") -> Upstream:
    return Upstream("east", "openai" if base_url else "llama_cpp", {}, base_url, "EAST_KEY", usage_lookup=True)


def lookup(*local: str, timeout_s: float = 30.0) -> HttpUpstreamUsage:
    return HttpUpstreamUsage(lambda _: local, {"EAST_KEY": "k1", "": ""}.__getitem__, timeout_s=timeout_s)


@contextmanager
def trickling(begins: bytes) -> Iterator[str]:
    """A server that says how an answer begins, then a byte now and then, far more often than any one is late."""
    over = threading.Event()

    def trickle(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(begins)
            while not over.wait(0.01):
                try:
                    client.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            over.set()
            thread.join()


def test_the_upstreams_own_account_is_kept_verbatim() -> None:
    asked = Asked(200, FINISHED)
    with serving(asked) as url:
        found = lookup().served(upstream(url), "r 1/x")
    assert found == ServedUsage("finished", b'{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}')
    assert asked.paths == ["/v1/usage/r%201%2Fx"]
    assert asked.keys == ["Bearer k1"]


def test_a_request_that_runs_has_no_usage_yet() -> None:
    with serving(Asked(200, b'{"id":"r1","state":"running"}')) as url:
        assert lookup().served(upstream(url), "r1") == ServedUsage("running")


def test_usage_that_is_null_is_none() -> None:
    with serving(Asked(200, b'{"id":"r1","state":"cancelled","usage":null}')) as url:
        assert lookup().served(upstream(url), "r1") == ServedUsage("cancelled")


def test_a_request_that_never_arrived() -> None:
    with serving(Asked(404, b"{}")) as url:
        assert lookup().served(upstream(url), "r1") == ServedUsage("unknown")


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (401, b"{}"), (302, b""), (200, b"no json"), (200, b'{"state":"lost"}'), (200, b"")],
)
def test_anything_else_says_nothing(status: int, body: bytes) -> None:
    with serving(Asked(status, body)) as url:
        assert lookup().served(upstream(url), "r1") is None


def test_an_upstream_that_is_gone_says_nothing() -> None:
    with serving(Asked(200, FINISHED)) as url:
        pass
    assert lookup().served(upstream(url), "r1") is None


def test_of_several_processes_the_one_that_knows_answers() -> None:
    with serving(Asked(404, b"{}")) as one, serving(Asked(200, FINISHED)) as other:
        found = lookup(one, other).served(upstream(), "r1")
    assert found is not None
    assert found.state == "finished"


def test_only_when_all_deny_it_was_it_not_served() -> None:
    with serving(Asked(404, b"{}")) as one, serving(Asked(404, b"{}")) as other:
        assert lookup(one, other).served(upstream(), "r1") == ServedUsage("unknown")
        assert lookup(one, "http://127.0.0.1:1/v1").served(upstream(), "r1") is None
    assert lookup().served(upstream(), "r1") is None


@pytest.mark.parametrize(
    "begins", [b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"], ids=["head", "body"]
)
def test_an_answer_that_trickles_is_given_up(begins: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with trickling(begins) as url:
        assert lookup(timeout_s=0.3).served(upstream(url), "r1") is None
    [said] = caplog.messages
    assert said == f"upstream_usage_not_told base_url={url} reason=no whole answer within 0.3 s; it is asked again"


def test_an_answer_without_end_is_left(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Asked(200, FINISHED + b" " * ANSWER_BYTES_MAX)) as url:
        assert lookup().served(upstream(url), "r1") is None
    assert f"reason=its answer is longer than {ANSWER_BYTES_MAX} bytes;" in caplog.text


def test_the_same_fault_is_said_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked(500, b"")
    with serving(asked) as url:
        east, found = upstream(url), lookup()
        for asked.status in (500, 500, 503, 404, 503):
            found.served(east, "r1")
    said = [message.partition("reason=it answered with the status ")[2][:3] for message in caplog.messages]
    assert said == ["500", "503", "503"]
