"""The line of each request: what is in it, what never is, and the ids that lead to it."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot.core.periods import END_OF_TIME
from entrepot.core.service_tiers import PriorityRules, ServiceTiers
from entrepot.edge.access_log import AccessLog, Form
from entrepot.edge.gateway_report import Watchers
from entrepot.flows.forward_jobs import ForwardJobs
from tests.support.gateway import KEY, Gateway, MemoryBoard, deployment, eventually, running_gateway, target
from tests.support.requests import AZURE, ask, chat, read_until, request_bytes

SECRET = "a-word-of-the-prompt"


class Lines:
    """What was handed on."""

    def __init__(self) -> None:
        self.text = b""
        self.taken = 0
        self.dropped = 0

    def offer(self, lines: bytes, count: int) -> None:
        self.text += lines
        self.taken += count
        assert lines.count(b"\n") == count


def watchers(lines: Lines, form: Form = "json") -> Watchers:
    return Watchers(MemoryBoard(), AccessLog(lines, form))


class Logged:
    """A gateway and its lines."""

    def __init__(self, gateway: Gateway, lines: Lines) -> None:
        self.gateway = gateway
        self.lines = lines

    def told(self) -> list[dict[str, Any]]:
        self.gateway.do(self.gateway.api.report.sweep)
        return [json.loads(line) for line in self.lines.text.splitlines()]

    def one(self) -> dict[str, Any]:
        eventually(self.told)
        [line] = self.told()
        return line


@pytest.fixture
def logged() -> Iterator[Logged]:
    lines = Lines()
    with running_gateway(watchers=watchers(lines)) as gateway:
        yield Logged(gateway, lines)


def test_an_answer(logged: Logged) -> None:
    reply = ask(logged.gateway, chat(f"{SECRET} [[chunks=5]]"))
    line = logged.one()
    durations = {name: line.pop(name) for name in ("took_us", "upstream_us", "flush_us")}
    assert 0 < durations["upstream_us"] <= durations["took_us"] == durations["upstream_us"] + durations["flush_us"]
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "request_ended",
        "request_id": reply.headers["x-request-id"],
        "route": "/v1/chat/completions",
        "status": 200,
        "outcome": "stop",
        "customer": "acme",
        "project": "search",
        "deployment": "chat",
        "model": "model-of-chat",
        "upstream": "up",
        "tier": "default",
        "key_id": "key-1",
        "source": "reported",
        "meters": {"input_tokens": 1, "output_tokens": 5},
    }


def test_a_stream_says_when_it_began(logged: Logged) -> None:
    ask(logged.gateway, chat("hi [[chunks=3 delay=0.01]]", stream=True))
    line = logged.one()
    assert 0 < line["first_us"] < line["upstream_us"] <= line["took_us"]


def test_a_refusal(logged: Logged) -> None:
    ask(logged.gateway, chat("hi"), headers={"Authorization": "Bearer ek-wrong"})
    line = logged.one()
    assert (line["status"], line["error"]) == (401, "invalid_api_key")
    assert "customer" not in line
    assert "upstream_us" not in line


def test_bytes_that_are_no_request(logged: Logged) -> None:
    with logged.gateway.connect() as client:
        client.sendall(b"nonsense\r\n\r\n")
        client.recv(1000)
    assert {name: logged.one()[name] for name in ("route", "status")} == {"route": "none", "status": 400}


def test_a_client_that_left_and_an_upstream_that_broke(logged: Logged) -> None:
    with logged.gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=2 stall=1]]", stream=True)))
        read_until(client, b"w1")
    assert logged.one()["outcome"] == "client_left"
    ask(logged.gateway, chat("hi [[break=1]]", stream=True))
    line = logged.told()[1]
    assert (line["status"], line["outcome"], line["error"]) == (200, "upstream_failed", "upstream_failed")


def test_what_machines_ask_every_few_seconds_is_not_told(logged: Logged) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        ask(logged.gateway, path=path)
    ask(logged.gateway, path="/v1/models")
    assert [line["route"] for line in logged.told()] == ["/v1/models"]


def test_neither_prompt_nor_answer_nor_key_is_in_it(logged: Logged) -> None:
    for body in (chat(SECRET), chat(SECRET, stream=True), chat(SECRET, model="none"), chat(f"{SECRET} [[status=400]]")):
        ask(logged.gateway, body)
        ask(logged.gateway, body, path=AZURE.format("chat"), headers={"api-key": KEY})
    assert len(logged.told()) == 8
    for never in (SECRET.encode(), KEY.encode(), b"w1"):
        assert never not in logged.lines.text


def test_ids_of_client_and_gateway_meet(logged: Logged) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    fields = {"Authorization": f"Bearer {KEY}", "X-Request-Id": "theirs-7", "traceparent": trace}
    for body in (chat("hi"), chat("hi", stream=True), chat("hi", model="none")):
        reply = ask(logged.gateway, body, headers=fields)
        assert reply.headers["x-client-request-id"] == "theirs-7"
        assert reply.headers["x-request-id"] == reply.headers["apim-request-id"] != "theirs-7"
        line = logged.told()[-1]
        assert line["request_id"] == reply.headers["x-request-id"]
        assert line["client_request_id"] == "theirs-7"
        assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_hostile_id_stays_one_value_of_one_line(form: Form) -> None:
    lines = Lines()
    hostile = 'x"status=200,\\u000a{"a":1}'
    with running_gateway(watchers=watchers(lines, form)) as gateway:
        reply = ask(gateway, path="/v1/models", headers={"x-ms-client-request-id": hostile})
        assert reply.headers["x-ms-client-request-id"] == hostile
        gateway.do(gateway.api.report.sweep)
    [line] = lines.text.decode().splitlines()
    assert json.dumps(hostile) in line
    if form == "json":
        assert json.loads(line)["status"] == 401


def test_as_text() -> None:
    lines = Lines()
    with running_gateway(watchers=watchers(lines, "text")) as gateway:
        ask(gateway, chat("two words"))
        gateway.do(gateway.api.report.sweep)
    words = dict(word.split("=", 1) for word in lines.text.decode().split())
    assert (words["event"], words["customer"], words["status"]) == ("request_ended", "acme", "200")
    assert (words["input_tokens"], words["output_tokens"]) == ("2", "3")


def test_a_request_that_was_served_at_another_tier(logged: Logged) -> None:
    gateway, always = logged.gateway, ((0, END_OF_TIME),)
    tiers = ServiceTiers(priority=PriorityRules())
    served = deployment("chat", target(gateway.upstream.base_url), service_tiers=tiers, tiers={"priority": always})
    gateway.serve(served)
    for said in ("priority", "default"):
        assert ask(gateway, chat(f"hello [[tier={said}]]", service_tier="priority")).status == 200
    eventually(lambda: len(logged.told()) == 2)
    assert [(line["tier"], line.get("admitted_tier")) for line in logged.told()] == [
        ("priority", None),
        ("default", "priority"),
    ]


def test_a_client_that_leaves_while_the_jobs_process_is_at_work_has_a_line(logged: Logged, tmp_path: Path) -> None:
    gateway = logged.gateway
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(tmp_path / "jobs"))
        busy.listen()
        gateway.api._jobs = ForwardJobs(gateway.pool, str(tmp_path / "jobs"), "token")
        with gateway.connect() as client:
            client.sendall(f"GET /v1/files HTTP/1.1\r\nHost: h\r\napi-key: {KEY}\r\n\r\n".encode())
            eventually(lambda: [one for one in gateway.api.connections if not one.is_idle])
        line = logged.one()
    assert (line["route"], line["status"]) == ("/v1/files", 0)
