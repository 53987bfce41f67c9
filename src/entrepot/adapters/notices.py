"""Notices in a file, by webhook and by mail."""

import asyncio
import os
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import formatdate
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
            return self._mail(notice, at)
        except TimeoutError:
            return f"no answer within {ANSWER_S_MAX:g} s"
        except (OSError, smtplib.SMTPException, ValueError) as error:
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
        status, fault = asyncio.run(_posted(notice.to, body, fields))
        return fault or ("" if 200 <= status < 300 else f"the receiver answered with the status {status}")

    def _mail(self, notice: Notice, at: Instant) -> str:
        if not self._smtp_url:
            return "there is no mail server; set ENTREPOT_SMTP_URL"
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, notice.to, notice.subject
        message["Date"], message["Message-ID"] = formatdate(at // SECOND, usegmt=True), f"<{notice.id}@entrepot>"
        message.set_content(notice.body)
        server = urlsplit(self._smtp_url)
        port = server.port or _SMTP_PORTS[server.scheme]
        with self._connected(server.scheme, server.hostname or "", port) as smtp:
            smtp.ehlo()
            is_safe = server.scheme == "smtps"
            if not is_safe and smtp.has_extn("starttls"):
                smtp.starttls(context=ssl.create_default_context())
                is_safe = True
            if server.username:
                if not is_safe:  # Whoever stands between could have taken the offer away to read the password.
                    return "the mail server offers no STARTTLS, and a password is not sent in the clear; use smtps://"
                smtp.login(unquote(server.username), unquote(server.password or ""))
            smtp.send_message(message)
        return ""

    def _connected(self, scheme: str, host: str, port: int) -> smtplib.SMTP:
        if scheme == "smtps":
            verified = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, local_hostname=_HELLO, timeout=ANSWER_S_MAX, context=verified)
        return smtplib.SMTP(host, port, local_hostname=_HELLO, timeout=ANSWER_S_MAX)


async def _posted(url: str, body: bytes, fields: Mapping[str, str]) -> tuple[int, str]:
    """(the status of the answer, ""), or (0, why there is none). A redirect is an answer: nothing goes elsewhere.

    Raises: TimeoutError, however the receiver spends the time.
    """
    import aiohttp  # Only for who is told by webhook.

    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S_MAX)) as session,
            session.post(url, data=body, headers=fields, allow_redirects=False) as answer,
        ):
            return answer.status, ""
    except TimeoutError:  # Some of aiohttp's are errors of the connection, too.
        raise
    except aiohttp.ClientConnectionError as error:
        return 0, str(error) or type(error).__name__
    except aiohttp.ClientError:  # What it says of it has the address in it, which can be a secret.
        return 0, "what the receiver answered is no HTTP"
