"""What is asked about files and batches on its way through the gateway, and the jobs process as a caller itself."""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.core.identifiers import INTERNAL_PREFIX, key_digest
from entrepot.core.log_records import Admitted
from entrepot.core.periods import END_OF_TIME
from entrepot.core.turns import at_once
from entrepot.flows.forward_jobs import ForwardJobs
from tests.support.gateway import KEY, Gateway, deployment, eventually, running_gateway, snapshot, target
from tests.support.requests import ask, chat, connect, read_to_end

TOKEN = INTERNAL_PREFIX + "of-the-tests"
V = "?api-version=2024-10-21"
BATCH = {"batch": ((0, END_OF_TIME),)}


class ScriptedJobs:
    """A jobs process that keeps what it was asked and answers with what it was told to; b"" closes the connection."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
        self.hold = False
        self.left = 0

    async def start(self, path: str) -> None:
        self._server = await asyncio.start_unix_server(self._serve, path)

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        self.asked.append(head + await reader.readexactly(int(length[1])))
        if self.hold:
            await reader.read()
            self.left += 1
        else:
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway that knows the jobs process by TOKEN, and nobody at its socket."""
    with running_gateway() as running:
        published = snapshot(
            deployment("chat", target(running.upstream.base_url), tiers=BATCH),
            deployment("dear", target(running.upstream.base_url)),
        )

        async def adopt() -> list[str]:
            return at_once(running.flow.adopting(published, key_digest(TOKEN)))

        assert running.run(adopt()) == []
        yield running


@pytest.fixture
def jobs(gateway: Gateway) -> Iterator[ScriptedJobs]:
    """The jobs process of the gateway."""
    scripted = ScriptedJobs()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "jobs.sock")
        gateway.run(scripted.start(path))
        gateway.api._jobs = ForwardJobs(gateway.pool, path, TOKEN)
        yield scripted
        gateway.run(scripted.stop())


# ---- files and batches


@pytest.mark.parametrize(
    ("method", "path", "target_", "dialect", "named"),
    [
        ("POST", "/v1/files", "/files", "openai", ""),
        ("GET", "/openai/v1/files?limit=5&after=file-1", "/files?limit=5&after=file-1", "openai", ""),
        ("DELETE", f"/openai/files/file-1{V}", f"/files/file-1{V}", "azure", ""),
        ("GET", "/v1/files/file-1/content", "/files/file-1/content", "openai", ""),
        ("POST", f"/openai/batches/batch_1/cancel{V}", f"/batches/batch_1/cancel{V}", "azure", ""),
        ("POST", f"/openai/deployments/a%2Fb/batches{V}", f"/batches{V}", "azure", "a%2Fb"),
    ],
)
def test_a_request_is_forwarded_as_it_came(
    gateway: Gateway, jobs: ScriptedJobs, method: str, path: str, target_: str, dialect: str, named: str
) -> None:
    body = b"--x\r\nany bytes \x00\xff" if method == "POST" else b""
    headers = {"api-key": KEY, "Content-Type": "multipart/form-data; boundary=x", "x-entrepot-project": "other"}
    reply = ask(gateway, body, path=path, method=method, headers=headers)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"hi", "text/plain")
    assert reply.headers["x-request-id"] == reply.headers["apim-request-id"]
    [asked] = jobs.asked
    head, _, sent = asked.partition(b"\r\n\r\n")
    assert sent == body
    first, *lines = head.decode().split("\r\n")
    assert first == f"{method} {target_} HTTP/1.1"
    fields = dict(line.split(": ", 1) for line in lines)
    assert fields == {
        "Host": "jobs",
        "Connection": "close",
        "Authorization": f"Bearer {TOKEN}",
        "x-entrepot-project": "search",
        "x-entrepot-dialect": dialect,
        "x-entrepot-deployment": named,
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(len(body)),
    }


def test_an_error_of_the_jobs_process_is_handed_back(gateway: Gateway, jobs: ScriptedJobs) -> None:
    jobs.answer = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnone"
    assert ask(gateway, path="/v1/batches/b").status == 404


def test_nothing_of_it_is_metered(gateway: Gateway, jobs: ScriptedJobs) -> None:
    ask(gateway, path="/v1/files")
    assert gateway.sink.records == []


def test_only_who_may_is_heard(gateway: Gateway, jobs: ScriptedJobs) -> None:
    for key in ("ek-nobody", TOKEN):
        assert ask(gateway, b"{}", path="/v1/batches", headers={"api-key": key}).status == 401
    assert jobs.asked == []


def test_without_a_jobs_process_clients_are_told_to_try_again(gateway: Gateway) -> None:
    reply = ask(gateway, path="/v1/files")
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "upstream_unavailable", "1")
    reply = ask(gateway, path=f"/openai/files{V}")
    assert (reply.status, reply.error["code"]) == (503, "ServiceUnavailable")


def test_when_it_breaks_off_it_is_not_asked_again(gateway: Gateway, jobs: ScriptedJobs) -> None:
    jobs.answer = b""
    reply = ask(gateway, b"{}", path="/v1/batches")
    assert (reply.status, reply.error["code"]) == (502, "upstream_failed")
    assert len(jobs.asked) == 1


def test_a_client_that_leaves_ends_its_errand(gateway: Gateway, jobs: ScriptedJobs) -> None:
    jobs.hold = True
    with connect(gateway) as client:
        client.sendall(f"GET /v1/files HTTP/1.1\r\nHost: h\r\napi-key: {KEY}\r\n\r\n".encode())
        eventually(lambda: jobs.asked)
    eventually(lambda: jobs.left == 1)


@pytest.mark.parametrize("name", ["a%2Fb", "a.b", "..", "%2e%2e", "x" * 101])
def test_what_is_no_id_is_not_forwarded(gateway: Gateway, jobs: ScriptedJobs, name: str) -> None:
    assert ask(gateway, path=f"/v1/files/{name}").status == 404
    assert jobs.asked == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/files", "GET, POST"),
        ("POST", "/v1/files/f", "GET, DELETE"),
        ("DELETE", "/v1/batches/b", "GET"),
        ("GET", "/v1/batches/b/cancel", "POST"),
    ],
)
def test_other_methods_are_405(gateway: Gateway, jobs: ScriptedJobs, method: str, path: str, allowed: str) -> None:
    reply = ask(gateway, path=path, method=method)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert jobs.asked == []


def test_a_body_that_is_refused_before_it_came_is_refused_in_the_dialect_of_its_path(gateway: Gateway) -> None:
    with connect(gateway) as client:
        client.sendall(
            f"POST /openai/files{V} HTTP/1.1\r\nHost: h\r\napi-key: wrong\r\nContent-Length: 9\r\n\r\n".encode()
        )
        answer = read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'"code":"401"' in answer


# ---- the jobs process as a caller


def acting(project: str = "search", tier: str = "batch", token: str = TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "x-entrepot-project": project, "x-entrepot-tier": tier}


def test_its_requests_are_served_as_their_project_at_the_batch_tier(gateway: Gateway) -> None:
    reply = ask(gateway, chat("one two"), headers=acting())
    assert reply.status == 200
    event = gateway.usage()
    assert (event.project, event.customer, event.tier, event.key) == ("search", "acme", "batch", "jobs")
    assert gateway.of(Admitted)[0].tier == "batch"


def test_its_body_may_come_behind_its_head(gateway: Gateway) -> None:
    body = chat("one two")
    lines = "".join(f"{name}: {value}\r\n" for name, value in acting().items())
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}Content-Length: {len(body)}\r\n"
    )
    with connect(gateway) as client:
        client.sendall(head.encode() + b"\r\n")
        eventually(lambda: any(not one.is_idle for one in list(gateway.api.connections)))
        client.sendall(body)
        assert read_to_end(client).startswith(b"HTTP/1.1 200 ")


def test_without_batch_prices_it_is_refused_and_nothing_is_recorded(gateway: Gateway) -> None:
    reply = ask(gateway, chat("one", model="dear"), headers=acting())
    assert (reply.status, reply.error["code"]) == (400, "unsupported_value")
    assert "no batch price" in reply.error["message"]
    assert gateway.sink.records == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (acting(token=INTERNAL_PREFIX + "guess"), 401),
        (acting(token=INTERNAL_PREFIX), 401),
        ({"authorization": f"Bearer {TOKEN}"}, 401),
        (acting(project="nobody"), 403),
        (acting(tier="free"), 403),
    ],
)
def test_it_must_know_the_token_and_name_a_project_and_a_tier(
    gateway: Gateway, headers: dict[str, str], status: int
) -> None:
    assert ask(gateway, chat("one"), headers=headers).status == status


def test_a_customer_cannot_claim_a_tier(gateway: Gateway) -> None:
    ask(gateway, chat("one"), headers={**acting(project="other"), "authorization": f"Bearer {KEY}"})
    assert (gateway.usage().tier, gateway.usage().project) == ("default", "search")
