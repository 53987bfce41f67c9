"""The header lines that tell a client its model is going away."""

from email.utils import formatdate

from entrepot.core.periods import SECOND, Instant


def deprecation_fields(since: Instant | None, retires_at: Instant | None) -> str:
    """`Deprecation` (RFC 9745) and `Sunset` (RFC 8594), each where its date is known."""
    told = "" if since is None else f"Deprecation: @{since // SECOND}\r\n"
    return told if retires_at is None else f"{told}Sunset: {formatdate(retires_at // SECOND, usegmt=True)}\r\n"
