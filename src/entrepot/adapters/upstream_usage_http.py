"""Asking an upstream over HTTP what it served: GET {base_url}/usage/{request id}.

200 carries {"id", "state", "usage"}; 404 says that the request never arrived; anything else says nothing.
"""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Literal
from urllib.parse import quote

import msgspec

from entrepot.core.catalog import Upstream
from entrepot.core.errors import BadInput
from entrepot.ports.upstream_usage import ServedUsage

ANSWER_BYTES_MAX = 1 << 20


class _Account(msgspec.Struct):
    state: Literal["running", "finished", "cancelled"]
    usage: msgspec.Raw = msgspec.Raw(b"")


_NOT_HERE = ServedUsage(state="unknown")
_decoder = msgspec.json.Decoder(_Account)


class HttpUpstreamUsage:
    """Upstreams' own accounts, each question bounded by a timeout.

    local: the base URLs of the processes inside this machine that serve an upstream, asked anew each time.
    key_at: the API key at a place (Upstream.key); raises BadInput when there is none, and the upstream cannot be asked.
    """

    def __init__(
        self, local: Callable[[str], Sequence[str]], key_at: Callable[[str], str], *, timeout_s: float = 2.0
    ) -> None:
        self._local = local
        self._key_at = key_at
        self._timeout_s = timeout_s

    def served(self, upstream: Upstream, request_id: str) -> ServedUsage | None:
        """The upstream's account; state unknown when the request never reached it; None when it cannot be asked now."""
        urls = [upstream.base_url] if upstream.base_url else self._local(upstream.id)
        try:
            key = self._key_at(upstream.key)
        except BadInput:
            return None
        answers = [self._ask(url, key, request_id) for url in urls]
        known = [answer for answer in answers if answer is not None and answer.state != "unknown"]
        if known:
            return known[0]
        # Only when every process that may have served it denies it, it was not served.
        return _NOT_HERE if answers and None not in answers else None

    def _ask(self, base_url: str, key: str, request_id: str) -> ServedUsage | None:
        # A world file takes no base URL that is not http or https.
        request = urllib.request.Request(f"{base_url}/usage/{quote(request_id, safe='')}")  # noqa: S310
        if key:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with _OPENER.open(request, timeout=self._timeout_s) as answer:
                account = _decoder.decode(answer.read(ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            error.close()
            return _NOT_HERE if error.code == 404 else None
        except (OSError, http.client.HTTPException, msgspec.DecodeError, ValueError):
            return None
        usage = bytes(account.usage)
        return ServedUsage(state=account.state, usage=b"" if usage == b"null" else usage)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is no answer, and must not carry the key elsewhere."""

    def redirect_request(self, *_: object) -> None:
        return None


# Upstreams are named by the operator: no proxy of the environment comes between.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
