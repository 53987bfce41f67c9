"""Notices of budgets over the wire: a signed webhook, and a mail through a real SMTP server."""

import base64
import contextlib
import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from entrepot.adapters import notices
from entrepot.adapters.notices import NoticeFile, NoticeMessenger
from entrepot.core.notices import Notice, signature
from entrepot.core.periods import SECOND, parse_instant
from tests.support.certificates import Authority

NOW = parse_instant("2026-11-20T10:00:00Z")
KEY = b"twenty-four bytes secret"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example that the specification's own libraries test with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


class Receiver(HTTPServer):
    """Keeps what it is sent; answers with `status`."""

    status = 204

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.got: list[tuple[dict[str, str], bytes]] = []


class Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_GET(self) -> None:
        self.server.got.append(({}, b"followed"))
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/login")
        self.end_headers()

    def log_message(self, *said: Any) -> None:
        del said


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_signed_over_the_bytes_that_arrive(receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}/budgets"
    notice = Notice("msg_1", "c", "webhook", url, "", '{"type":"budget.threshold_reached","ü":1}')
    assert NoticeMessenger(SECRET, "", "").carry(notice, NOW) == ""
    ((fields, body),) = receiver.got
    assert (fields["webhook-id"], fields["webhook-timestamp"]) == ("msg_1", str(NOW // SECOND))
    signed = b"msg_1.%d.%s" % (NOW // SECOND, body)
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert fields["webhook-signature"] == f"v1,{expected}"
    assert body.decode() == notice.body


def test_a_receiver_that_does_not_take_it_is_a_reason(receiver: Receiver) -> None:
    receiver.status = 500
    url = f"http://127.0.0.1:{receiver.server_port}/"
    hook = Notice("m", "c", "webhook", url, "", "{}")
    nowhere = Notice("m", "c", "webhook", "http://127.0.0.1:9/", "", "{}")
    messenger = NoticeMessenger(SECRET, "", "")
    assert messenger.carry(hook, NOW) == "the receiver answered with the status 500"
    assert "Cannot connect to host 127.0.0.1:9" in messenger.carry(nowhere, NOW)
    assert "ENTREPOT_WEBHOOK_SECRET" in NoticeMessenger("", "", "").carry(hook, NOW)
    assert "ENTREPOT_SMTP_URL" in messenger.carry(Notice("m", "c", "email", "a@b.example", "s", "t"), NOW)


def test_a_redirect_is_not_followed_and_is_no_delivery(receiver: Receiver) -> None:
    """A login page that answers 200 has not taken the notice."""
    receiver.status = 302
    hook = Notice("m", "c", "webhook", f"http://127.0.0.1:{receiver.server_port}/", "", "{}")
    assert NoticeMessenger(SECRET, "", "").carry(hook, NOW) == "the receiver answered with the status 302"
    assert [body for _, body in receiver.got] == [b"{}"]


@pytest.mark.parametrize("piece", [b"", b"HTTP/1.1 200 OK\r\nx-"])
def test_a_receiver_that_never_ends_its_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(notices, "ANSWER_S_MAX", 0.2)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(piece)
                while not over.wait(0.02):
                    connection.sendall(b"x" if piece else b"")

        receiver = threading.Thread(target=trickle)
        receiver.start()
        hook = Notice("m", "c", "webhook", f"http://127.0.0.1:{server.getsockname()[1]}/", "", "{}")
        assert NoticeMessenger(SECRET, "", "").carry(hook, NOW) == "no answer within 0.2 s"
        over.set()
        receiver.join()


def test_a_server_that_nobody_vouches_for_gets_neither_webhook_nor_password(tmp_path: Path) -> None:
    pair = Authority(tmp_path).sign("receiver")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError), context.wrap_socket(connection, True) as secured:
                    secured.sendall(b"220 mail\r\n")
                    got.append(secured.recv(65536))

        receiver = threading.Thread(target=listen)
        receiver.start()
        port = server.getsockname()[1]
        messenger = NoticeMessenger(SECRET, f"smtps://user:password@localhost:{port}", "entrepot@op.example")
        hook = Notice("m", "c", "webhook", f"https://localhost:{port}/", "", "{}")
        assert "certificate" in messenger.carry(hook, NOW).lower()
        assert "certificate" in messenger.carry(Notice("m", "c", "email", "a@b.example", "s", "t"), NOW).lower()
        receiver.join()
    assert got == []


def test_a_password_is_not_sent_in_the_clear() -> None:
    """Also not where somebody between has taken the offer of STARTTLS away."""
    with a_mail_server() as (mailbox, port):
        messenger = NoticeMessenger("", f"smtp://user:password@127.0.0.1:{port}", "entrepot@op.example")
        fault = messenger.carry(Notice("m", "c", "email", "a@b.example", "s", "t"), NOW)
    assert "no STARTTLS" in fault
    assert mailbox.got == []


class Mailbox:
    """What an SMTP server was given."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.got.append(envelope)
        return "250 taken"


@contextlib.contextmanager
def a_mail_server() -> Iterator[tuple[Mailbox, int]]:
    mailbox = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, server_hostname="localhost")
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()


def test_a_mail_goes_through_an_smtp_server() -> None:
    with a_mail_server() as (mailbox, port):
        messenger = NoticeMessenger("", f"smtp://127.0.0.1:{port}", "entrepot@op.example")
        text = "Of the budget, 80 % is reached.\n"
        notice = Notice("msg_2", "c", "email", "finance@acme.example", "80 % is spent", text)
        assert messenger.carry(notice, NOW) == ""
    (envelope,) = mailbox.got
    assert (envelope.mail_from, envelope.rcpt_tos) == ("entrepot@op.example", ["finance@acme.example"])
    mail = message_from_bytes(envelope.content)
    assert (mail["Subject"], mail["Message-ID"]) == ("80 % is spent", "<msg_2@entrepot>")
    assert parsedate_to_datetime(mail["Date"]).timestamp() == NOW // SECOND
    assert str(mail.get_payload()).strip() == "Of the budget, 80 % is reached."


def test_notices_outlive_the_process(tmp_path: Path) -> None:
    kept = NoticeFile(tmp_path / "notices.json")
    assert kept.load() == []
    told = [Notice("m", "c", "email", "a@b.example", "s", "t").failed(NOW)]
    kept.save(told)
    assert NoticeFile(tmp_path / "notices.json").load() == told
    (tmp_path / "notices.json").write_text("{")
    assert kept.load() == []
