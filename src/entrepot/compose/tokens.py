"""Tokens of a data directory: made at first need, and kept there for its owner only."""

import contextlib
import os
import secrets
from pathlib import Path

from entrepot.compose.settings import Settings
from entrepot.core.errors import BadInput
from entrepot.core.identifiers import INTERNAL_PREFIX


def admin_token(settings: Settings) -> str:
    """The token that opens the console and the control API: that of the settings, else that of this data directory.

    Raises: BadInput.
    """
    return settings.admin_token or _kept(settings.home / "admin_token")


def internal_token(settings: Settings) -> str:
    """The token that gateways and the jobs process know each other by, found likewise."""
    return INTERNAL_PREFIX + (settings.internal_token or _kept(settings.home / "internal_token"))


def installation(settings: Settings) -> str:
    """The name of this data directory, which no other has: what its books alone know goes by it."""
    return _kept(settings.home / "installation")


def _kept(path: Path) -> str:
    if not path.exists():  # Where it is, a full disk keeps nobody from it.
        _make(path)
    text = path.read_text().strip()
    if not text:  # A token of nothing would let in whoever shows nothing.
        raise BadInput(f"{path} is empty; remove it, and another one is made at the next start")
    return text


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())  # Else a loss of power can leave the name without what it names.
        with contextlib.suppress(FileExistsError):
            # A link never replaces: whoever comes second takes the token of whoever came first.
            os.link(fresh, path)
    finally:
        fresh.unlink()
