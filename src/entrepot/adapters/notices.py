"""Notices in a file, by webhook and by mail."""

import http.client
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from entrepot.core.notices import Notice, signature
from entrepot.core.periods import SECOND, Instant

ANSWER_S_MAX = 10.0
_HELLO = "[127.0.0.1]"  # What the library would say else it asks the name service for, which may be slow.
_SMTP_PORTS = {"smtp": 25, "smtps": 465}

_decode = msgspec.json.Decoder(list[Notice]).decode


class NoticeFile:
    """Meets the port KeptNotices. A file that cannot be read counts as none: what it held is said once more."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Notice]:
        """See ports.notices."""
        try:
            return _decode(self._path.read_bytes())
        except (OSError, msgspec.DecodeError):
            return []

    def save(self, notices: Sequence[Notice]) -> None:
        """See ports.notices."""
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(notices))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


class NoticeMessenger:
    """Meets the port Messenger. secret: that webhooks are signed with; smtp_url: of the mail server; "" for none."""

    def __init__(self, secret: str, smtp_url: str, sender: str) -> None:
        self._secret = secret
        self._smtp_url = smtp_url
        self._sender = sender

    def carry(self, notice: Notice, at: Instant) -> str:
        """See ports.notices."""
        try:
            if notice.channel == "webhook":
                return self._post(notice, at)
            return self._mail(notice)
        except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:
            return str(error) or type(error).__name__

    def _post(self, notice: Notice, at: Instant) -> str:
        if not self._secret:
            return "there is no secret to sign webhooks with; set ENTREPOT_WEBHOOK_SECRET"
        body, now_s = notice.body.encode(), at // SECOND
        fields = {
            "Content-Type": "application/json",
            "User-Agent": "entrepot",
            "webhook-id": notice.id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": signature(self._secret, notice.id, now_s, body),
        }
        asked = urllib.request.Request(notice.to, body, fields, method="POST")  # noqa: S310 - http or https, as checked
        try:
            with urllib.request.urlopen(asked, timeout=ANSWER_S_MAX) as answer:  # noqa: S310 - as above
                status = answer.status
        except urllib.error.HTTPError as refused:
            status = refused.code
            refused.close()
        return "" if 200 <= status < 300 else f"the receiver answered with the status {status}"

    def _mail(self, notice: Notice) -> str:
        if not self._smtp_url:
            return "there is no mail server; set ENTREPOT_SMTP_URL"
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, notice.to, notice.subject
        message["Message-ID"] = f"<{notice.id}@entrepot>"
        message.set_content(notice.body)
        server = urlsplit(self._smtp_url)
        port = server.port or _SMTP_PORTS[server.scheme]
        over_tls = server.scheme == "smtps"
        kind = smtplib.SMTP_SSL if over_tls else smtplib.SMTP
        with kind(server.hostname or "", port, local_hostname=_HELLO, timeout=ANSWER_S_MAX) as smtp:
            smtp.ehlo()
            if not over_tls and smtp.has_extn("starttls"):
                smtp.starttls(context=ssl.create_default_context())
            if server.username:
                smtp.login(unquote(server.username), unquote(server.password or ""))
            smtp.send_message(message)
        return ""
