"""What an operator is told of an upstream that cannot be reached. Clients are told none of it."""

import ssl


def why_unreachable(error: Exception) -> str:
    """What is wrong, and for a certificate what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}; an authority of your own is named by upstream_ca"
    return str(error)
