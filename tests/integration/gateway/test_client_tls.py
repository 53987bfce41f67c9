"""Clients that speak TLS: what they are shown, what is refused, and certificates that are replaced while all runs."""

import contextlib
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from tests.support.certificates import Authority, Pair
from tests.support.gateway import KEY, eventually
from tests.support.gateway_processes import Installation
from tests.support.requests import chat, connect, read_to_end, read_until, request_bytes

GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
ALIVE = b'{"alive":true}'


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def told(pair: Pair, **more: str) -> dict[str, str]:
    """The environment of a gateway that shows this certificate."""
    shown = {"ENTREPOT_GATEWAY_CERTIFICATE": str(pair.certificate), "ENTREPOT_GATEWAY_CERTIFICATE_KEY": str(pair.key)}
    return shown | more


def trusting(authority: Authority, *, alpn: str = "http/1.1") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.set_alpn_protocols([alpn])
    return context


@contextlib.contextmanager
def over_tls(installation: Installation, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with connect(installation) as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        yield connection


def serial(installation: Installation, context: ssl.SSLContext) -> int:
    """The number of the certificate that is shown now."""
    with over_tls(installation, context) as connection:
        shown = connection.getpeercert()
        assert shown is not None
        return int(str(shown["serialNumber"]), 16)


def test_requests_and_streams(installation: Installation, authority: Authority) -> None:
    installation.start_serve(**told(authority.sign("server")))
    with over_tls(installation, trusting(authority)) as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() == "http/1.1"
        connection.sendall(GET)
        read_until(connection, ALIVE)
        for prompt in ("hi", "hi [[chunks=2000 pad=500]]"):
            connection.sendall(request_bytes(chat(prompt, stream=True)))
            read_until(connection, b"data: [DONE]\n\n\r\n0\r\n\r\n")
    with (
        httpx2.Client(verify=trusting(authority)) as http,
        openai.OpenAI(base_url=f"https://localhost:{installation.port}/v1", api_key=KEY, http_client=http) as client,
    ):
        answer = client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "w1 w2 w3"


def test_what_is_older_than_tls_1_2_or_no_tls_at_all_gets_nothing(
    installation: Installation, authority: Authority
) -> None:
    installation.start_serve(**told(authority.sign("server")))
    old = trusting(authority)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with over_tls(installation, old) as connection:
        assert connection.version() == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError), over_tls(installation, old):
        pass
    with connect(installation) as plain:
        plain.sendall(GET)
        assert not read_to_end(plain).startswith(b"HTTP/")


def test_a_client_that_would_speak_http_2_is_told_of_1_1(installation: Installation, authority: Authority) -> None:
    installation.start_serve(**told(authority.sign("server")))
    with over_tls(installation, trusting(authority, alpn="h2")) as connection:
        assert connection.selected_alpn_protocol() is None
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 505 ")


def test_the_unix_socket_speaks_without_tls(installation: Installation, authority: Authority) -> None:
    installation.start_serve(**told(authority.sign("server")))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(installation.settings.gateway_socket_file))
        connection.sendall(GET)
        read_until(connection, ALIVE)


def test_a_new_certificate_is_shown_without_a_restart(installation: Installation, authority: Authority) -> None:
    shown = authority.sign("server")
    first = shown.serial
    serve = installation.start_serve(**told(shown))
    children = installation.children
    context = trusting(authority)
    with over_tls(installation, context) as kept:
        assert serial(installation, context) == first
        second = authority.sign("second")
        shown.certificate.unlink()
        shutil.copy(second.key, shown.key)  # The half of it, which changes nothing yet.
        assert serve.stderr is not None
        assert "certificate_refused" in serve.stderr.readline()
        assert serial(installation, context) == first
        shutil.copy(second.certificate, shown.certificate)
        eventually(lambda: serial(installation, context) == second.serial)
        kept.sendall(GET)
        read_until(kept, ALIVE)
    assert installation.children == children


def test_a_gateway_alone_reads_it_again_when_told(installation: Installation, authority: Authority) -> None:
    shown = authority.sign("server")
    gateway = installation.start_gateway(**told(shown))
    context = trusting(authority)
    second = authority.sign("second")
    shutil.copy(second.certificate, shown.certificate)
    shutil.copy(second.key, shown.key)
    gateway.send_signal(signal.SIGHUP)
    eventually(lambda: serial(installation, context) == second.serial)


def test_clients_may_have_to_show_one_of_their_own(installation: Installation, authority: Authority) -> None:
    installation.start_serve(**told(authority.sign("server"), ENTREPOT_GATEWAY_CLIENT_CA=str(authority.certificate)))
    known = trusting(authority)
    ours = authority.sign("client", "client.example")
    known.load_cert_chain(ours.certificate, ours.key)
    with over_tls(installation, known) as connection:
        connection.sendall(GET)
        read_until(connection, ALIVE)

    theirs = Authority(authority.certificate.parent, "other").sign("stranger", "client.example")
    stranger = trusting(authority)
    stranger.load_cert_chain(theirs.certificate, theirs.key)
    for context in (trusting(authority), stranger):
        with over_tls(installation, context) as connection:
            assert answer_to(connection) == b""


def answer_to(connection: ssl.SSLSocket) -> bytes:
    """What comes back; a client's certificate is refused only after the handshake, in the version 1.3."""
    try:
        connection.sendall(GET)
        return connection.recv(100)
    except (ssl.SSLError, ConnectionError):
        return b""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"ENTREPOT_GATEWAY_CERTIFICATE": "/nowhere.pem"}, "No such file or directory; both are PEM files"),
        ({"ENTREPOT_GATEWAY_CERTIFICATE": ""}, "set both, or neither"),
        ({"ENTREPOT_GATEWAY_CERTIFICATE_KEY": ""}, "set both, or neither"),
        ({"ENTREPOT_GATEWAY_CERTIFICATE_KEY": "other.key"}, "KEY_VALUES_MISMATCH; both are PEM files"),
        ({"ENTREPOT_GATEWAY_CLIENT_CA": "/nowhere.pem"}, "gateway_client_ca /nowhere.pem cannot be used: No such file"),
        (
            {
                "ENTREPOT_GATEWAY_CERTIFICATE": "",
                "ENTREPOT_GATEWAY_CERTIFICATE_KEY": "",
                "ENTREPOT_GATEWAY_CLIENT_CA": "x.pem",
            },
            "gateway_client_ca needs gateway_certificate as well",
        ),
    ],
)
def test_what_it_cannot_use_it_says_in_one_line(
    installation: Installation, authority: Authority, change: dict[str, str], complaint: str
) -> None:
    environment = told(authority.sign("server"), **change)
    if environment["ENTREPOT_GATEWAY_CERTIFICATE_KEY"] == "other.key":
        environment["ENTREPOT_GATEWAY_CERTIFICATE_KEY"] = str(authority.sign("other").key)
    gateway = installation.start([sys.executable, "-m", "entrepot.compose.gateway", "--port", "0"], **environment)
    _, stderr = gateway.communicate(timeout=60)
    assert gateway.returncode == 1
    assert complaint in stderr.splitlines()[-1]
