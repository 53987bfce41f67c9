"""Who may see the control side: whoever shows the admin token, or the cookie a browser got for showing it once."""

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import Response

from entrepot.core.errors import InvalidApiKey

COOKIE = "entrepot_console"
_COOKIE_S = 12 * 3600


class Sessions:
    """Sessions of one admin token. The cookie is made of the token and never shows it; another token ends them all."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._cookie = hmac.new(self._token, b"console", hashlib.sha256).hexdigest()

    def is_token(self, shown: str) -> bool:
        """Whether this is the token; takes as long either way."""
        return hmac.compare_digest(shown.encode(), self._token)

    def is_open(self, request: Request) -> bool:
        """Whether the request comes from somebody who may see everything."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(shown.strip())
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._cookie.encode())

    def require(self, request: Request) -> None:
        """Raises: InvalidApiKey with what to do, unless the request may pass."""
        if not self.is_open(request):
            raise InvalidApiKey(
                "send the admin token as `authorization: Bearer …`; it is in the file admin_token of the data directory"
            )

    def open(self, response: Response) -> None:
        """Gives the browser its cookie."""
        response.set_cookie(COOKIE, self._cookie, max_age=_COOKIE_S, httponly=True, samesite="strict")

    def close(self, response: Response) -> None:
        """Takes the browser's cookie away."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
