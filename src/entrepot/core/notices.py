"""Notices: what somebody is told of a budget, and how it is signed.

Source of the signature: the Standard Webhooks specification, symmetric signatures (version v1).
"""

import base64
import hashlib
import hmac
from typing import Literal

import msgspec

from entrepot.core.periods import SECOND, Instant

Channel = Literal["webhook", "email"]

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with
FIRST_RETRY_US = 5 * SECOND
RETRY_US_MAX = 3600 * SECOND


class Notice(msgspec.Struct, frozen=True):
    """One message to one recipient. id: the same at every attempt, and after a restart. counter: of which budget.

    to: an address. body: JSON of a webhook, text of a mail. attempts: in vain so far; next_at: of the next one.
    """

    id: str
    counter: str
    channel: Channel
    to: str
    subject: str
    body: str
    attempts: int = 0
    next_at: Instant = 0
    is_sent: bool = False

    def sent(self) -> "Notice":
        """The notice, received."""
        return msgspec.structs.replace(self, is_sent=True)

    def failed(self, at: Instant) -> "Notice":
        """The notice after an attempt in vain: each pause is twice the last, up to RETRY_US_MAX."""
        pause = min(RETRY_US_MAX, FIRST_RETRY_US << min(self.attempts, 20))
        return msgspec.structs.replace(self, attempts=self.attempts + 1, next_at=at + pause)


def notice_id(*parts: str) -> str:
    """The id of what these parts say."""
    return f"msg_{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:32]}"


def signature(secret: str, identifier: str, timestamp_s: int, body: bytes) -> str:
    """The header webhook-signature. secret: whsec_ and base64. Raises: ValueError for one that is none."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    signed = hmac.digest(key, b"%s.%d.%s" % (identifier.encode(), timestamp_s, body), "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"
