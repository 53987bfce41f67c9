"""Identifiers: minted once by whoever writes first, and the idempotency key from there to the invoice."""

import hashlib

KEY_PREFIX = "ek-"
INTERNAL_PREFIX = "ei-"  # Begins the token that the processes of an installation know each other by.


def key_digest(key: str | bytes) -> str:
    """The SHA-256 of an API key in hex, which is all we keep of it."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).hexdigest()


class Credential:
    """A key or token that somebody sent, with its digest; b"" when nothing was sent."""

    __slots__ = ("digest", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.digest = key_digest(text)
