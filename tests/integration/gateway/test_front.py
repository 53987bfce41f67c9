"""The proxies of docs/operations/front.md with the very configurations that stand there, and HTTP/2 before them."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from entrepot.core.log_records import Abandoned, UsageRecorded
from tests.support.certificates import Authority, Pair
from tests.support.gateway import KEY, deployment, eventually, target
from tests.support.gateway_processes import Installation, installed
from tests.support.node import run_node
from tests.support.realtime_upstream import RealtimeUpstream
from tests.support.tree import ROOT

DOCUMENT = (ROOT / "docs" / "operations" / "front.md").read_text()


@pytest.fixture(scope="module")
def home() -> Iterator[Installation]:
    with installed() as made:
        yield made


def written(language: str) -> str:
    """The configuration of this language that the document holds."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return found[0]


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """The text with each place changed that is another in a test."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def nginx(folder: Path, port: int, gateway: Path, pair: Pair) -> list[str]:
    """The command that runs nginx in front of a gateway's socket."""
    server = replaced(
        written("nginx"),
        ("/run/entrepot/gateway.sock", str(gateway)),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/models.example.com.pem", str(pair.certificate)),
        ("/etc/ssl/models.example.com.key", str(pair.key)),
    )
    user = "user root;" if os.geteuid() == 0 else ""  # Else its worker may not enter the data directory.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;\n"
        f"events {{}}\nhttp {{\naccess_log off; {places}\n{server}}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")]


def haproxy(folder: Path, port: int, gateway: Path, pair: Pair) -> list[str]:
    """The same for HAProxy."""
    both = folder / "models.pem"
    both.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    text = replaced(
        written("haproxy"),
        ("/run/entrepot/gateway.sock", str(gateway)),
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("/etc/ssl/models.pem", str(both)),
    )
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def envoy(folder: Path, port: int, gateway: Path, pair: Pair) -> list[str]:
    """The same for Envoy."""
    text = replaced(
        written("yaml"),
        ("/run/entrepot/gateway.sock", str(gateway)),
        ("address: 0.0.0.0, port_value: 443", f"address: 127.0.0.1, port_value: {port}"),
        ("/etc/ssl/models.example.com.pem", str(pair.certificate)),
        ("/etc/ssl/models.example.com.key", str(pair.key)),
    )
    (folder / "envoy.yaml").write_text(text)
    options = ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
    return ["envoy", "-c", str(folder / "envoy.yaml"), *options]


Front = Callable[[Path, int, Path, Pair], list[str]]
FRONTS = pytest.mark.parametrize("front", [nginx, haproxy, envoy])


@contextlib.contextmanager
def before(home: Installation, folder: Path, front: Front) -> Iterator[tuple[int, Path]]:
    """The port of a front before the gateways of the home, and the authority that vouches for it."""
    if shutil.which(front.__name__) is None:
        pytest.skip(f"{front.__name__} is not installed here")
    authority = Authority(folder)
    port = free_port()
    command = front(folder, port, home.settings.gateway_socket_file, authority.sign("server"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        await_port(process, port)
        yield port, authority.certificate
    finally:
        process.terminate()
        process.communicate(timeout=60)


@FRONTS
def test_http_2_through_a_front(home: Installation, tmp_path: Path, front: Front) -> None:
    home.begin()
    home.publish(deployment("chat", target(home.base_url)), deployment("a/b", target(home.base_url)))
    home.start_serve()
    with before(home, tmp_path, front) as (port, authority):
        told = json.loads(run_node("http2.mjs", f"https://localhost:{port}", str(authority), KEY))

    assert told["protocol"] == "h2"
    assert told["whole"]["status"] == 200
    assert '"w1 w2 w3"' in told["whole"]["body"]
    assert {stream["body"].count("data: ") for stream in told["streams"]} == {20 + 3}
    assert all(stream["body"].endswith("data: [DONE]\n\n") for stream in told["streams"])
    assert told["escaped"]["status"] == 200
    eventually(lambda: abandoned(home))
    assert [(one.id, one.outcome, one.output_tokens) for one in abandoned(home)] == [
        (told["left"]["id"], "client_left", 2)
    ]
    usage = [record.event for record in home.records() if isinstance(record, UsageRecorded)]
    assert sorted(event.meters["output_tokens"] for event in usage) == [3, 3, *[20] * 20]
    assert {event.id for event in usage} == {one["id"] for one in (told["whole"], told["escaped"], *told["streams"])}


@FRONTS
def test_a_realtime_session_through_a_front(home: Installation, tmp_path: Path, front: Front) -> None:
    async def talk() -> list[str]:
        upstream = RealtimeUpstream()
        await upstream.start()
        try:
            home.publish(deployment("talk", target(upstream.base_url), operations=("realtime",)))
            home.start_serve()
            with before(home, tmp_path, front) as (port, authority):
                return await heard(f"https://localhost:{port}/v1", authority)
        finally:
            await upstream.stop()

    home.begin()
    assert asyncio.run(talk()) == [
        "session.created", "response.created", *["response.output_audio.delta"] * 3, "response.done"
    ]  # fmt: skip
    [event] = [record.event for record in home.records() if isinstance(record, UsageRecorded)]
    assert event.meters["audio_output_tokens"] == 3


async def heard(url: str, authority: Path) -> list[str]:
    """The kinds of events of a session with one response, as the openai library gets them."""
    client = openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)
    trusting: Any = {"ssl": ssl.create_default_context(cafile=str(authority))}
    async with client, client.realtime.connect(model="talk", websocket_connection_options=trusting) as session:
        kinds: list[str] = [(await session.recv()).type]
        await session.response.create(response={"instructions": "parts=3"})
        while kinds[-1] != "response.done":
            kinds.append((await session.recv()).type)
    return kinds


def abandoned(home: Installation) -> list[Abandoned]:
    return [record for record in home.records() if isinstance(record, Abandoned)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_port(process: subprocess.Popen[str], port: int) -> None:
    """Returns once the front listens. Raises: AssertionError with its complaint when it ends instead."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[1]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("it does not listen")
