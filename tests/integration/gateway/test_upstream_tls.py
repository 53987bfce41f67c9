"""Upstreams behind TLS: whom the gateway trusts, the name it asks for, and what the operator is told."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted_upstream import ScriptedUpstream
from tests.support.certificates import Authority, Pair
from tests.support.gateway import Gateway, deployment, running_gateway, target
from tests.support.gateway_processes import Installation, installed
from tests.support.requests import ask, chat


@pytest.fixture(scope="module")
def home() -> Iterator[Installation]:
    with installed() as made:
        yield made


@pytest.fixture
def beside() -> Iterator[Gateway]:
    """A loop for upstreams that are behind TLS; its own gateway is not asked."""
    with running_gateway() as running:
        yield running


def upstream_with(beside: Gateway, shown: Pair, names: list[str | None]) -> ScriptedUpstream:
    """One that shows this certificate, and keeps the names it is asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate, shown.key)
    context.sni_callback = lambda _, name, __: names.append(name)
    upstream = ScriptedUpstream()
    beside.run(upstream.start(tls=context))
    return upstream


def first_complaint(gateway: subprocess.Popen[str]) -> str:
    assert gateway.stderr is not None
    return gateway.stderr.readline()


def test_an_upstream_of_ones_own_authority(home: Installation, beside: Gateway, tmp_path: Path) -> None:
    authority, names = Authority(tmp_path), list[str | None]()
    upstream = upstream_with(beside, authority.sign("up", "localhost"), names)
    home.begin()
    home.publish(deployment("chat", target(upstream.base_url.replace("127.0.0.1", "localhost"))))
    home.start_gateway(ENTREPOT_UPSTREAM_CA=str(authority.certificate))
    assert ask(home, chat("hi")).status == 200
    assert ask(home, chat("hi [[chunks=50]]", stream=True)).events()[-1] == "[DONE]"
    assert names == ["localhost"]
    beside.run(upstream.stop())


@pytest.mark.parametrize(
    ("host", "days", "complaint"),
    [
        ("other.example", 1, "Hostname mismatch, certificate is not valid for 'localhost'"),
        ("localhost", -1, "certificate has expired"),
        ("localhost", 1, "unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_is_refused_is_said_once(
    home: Installation, beside: Gateway, tmp_path: Path, host: str, days: int, complaint: str
) -> None:
    authority = Authority(tmp_path)
    upstream = upstream_with(beside, authority.sign("up", host, days=days), [])
    home.begin()
    home.publish(deployment("chat", target(upstream.base_url.replace("127.0.0.1", "localhost"))))
    trusted = {} if "issuer" in complaint else {"ENTREPOT_UPSTREAM_CA": str(authority.certificate)}
    gateway = home.start_gateway(**trusted)
    for _ in range(3):
        reply = ask(home, chat("hi"))
        assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
        assert "certificate" not in reply.body.decode()
    said = first_complaint(gateway)
    assert said.startswith("WARNING upstream_unreachable host=localhost port=")
    assert complaint in said
    assert "upstream_ca" in said
    home.end([gateway])
    assert gateway.stderr is not None
    beside.run(upstream.stop())


def test_an_authority_that_cannot_be_read(home: Installation) -> None:
    command = [sys.executable, "-m", "entrepot.compose.gateway", "--port", "0"]
    gateway = home.start(command, ENTREPOT_UPSTREAM_CA="/nowhere.pem")
    assert "upstream_ca /nowhere.pem cannot be used: No such file" in gateway.communicate(timeout=60)[1]
