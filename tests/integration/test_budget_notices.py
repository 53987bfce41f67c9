"""Notices of budgets over the wire: a signed webhook, and a mail through a real SMTP server."""

import base64
import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from entrepot.adapters.notices import NoticeFile, NoticeMessenger
from entrepot.core.notices import Notice, signature
from entrepot.core.periods import SECOND, parse_instant

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

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
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
    assert "refused" in messenger.carry(nowhere, NOW)
    assert "ENTREPOT_WEBHOOK_SECRET" in NoticeMessenger("", "", "").carry(hook, NOW)
    assert "ENTREPOT_SMTP_URL" in messenger.carry(Notice("m", "c", "email", "a@b.example", "s", "t"), NOW)


class Mailbox:
    """What an SMTP server was given."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.got.append(envelope)
        return "250 taken"


def test_a_mail_goes_through_an_smtp_server() -> None:
    mailbox = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, server_hostname="localhost")
    controller.start()
    try:
        messenger = NoticeMessenger("", f"smtp://127.0.0.1:{port}", "entrepot@op.example")
        text = "Of the budget, 80 % is reached.\n"
        notice = Notice("msg_2", "c", "email", "finance@acme.example", "80 % is spent", text)
        assert messenger.carry(notice, NOW) == ""
    finally:
        controller.stop()
    (envelope,) = mailbox.got
    assert (envelope.mail_from, envelope.rcpt_tos) == ("entrepot@op.example", ["finance@acme.example"])
    mail = message_from_bytes(envelope.content)
    assert (mail["Subject"], mail["Message-ID"]) == ("80 % is spent", "<msg_2@entrepot>")
    assert str(mail.get_payload()).strip() == "Of the budget, 80 % is reached."


def test_notices_outlive_the_process(tmp_path: Path) -> None:
    kept = NoticeFile(tmp_path / "notices.json")
    assert kept.load() == []
    notices = [Notice("m", "c", "email", "a@b.example", "s", "t").failed(NOW)]
    kept.save(notices)
    assert NoticeFile(tmp_path / "notices.json").load() == notices
    (tmp_path / "notices.json").write_text("{")
    assert kept.load() == []
