"""The token that opens the console and the control API."""

import os
import secrets

from entrepot.compose.settings import Settings


def admin_token(settings: Settings) -> str:
    """The token of the settings, else that of this data directory, made at first need; only its owner can read it."""
    if settings.admin_token:
        return settings.admin_token
    path = settings.home / "admin_token"
    settings.home.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    try:
        # A link never replaces: whoever comes second takes the token of whoever came first.
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_text().strip()
