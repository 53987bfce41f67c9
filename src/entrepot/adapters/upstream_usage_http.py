"""Asking an upstream over HTTP what it served: GET {base_url}/usage/{request id}.

200 carries {"id", "state", "usage"}; 404 says that the request never arrived; anything else says nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from urllib.parse import quote

import msgspec

from entrepot.core.catalog import Upstream
from entrepot.core.errors import BadInput
from entrepot.ports.upstream_usage import ServedUsage

ANSWER_BYTES_MAX = 1 << 20

_log = logging.getLogger(__name__)


class _Account(msgspec.Struct):
    state: Literal["running", "finished", "cancelled"]
    usage: msgspec.Raw = msgspec.Raw(b"")


_NOT_HERE = ServedUsage(state="unknown")
_decoder = msgspec.json.Decoder(_Account)


class HttpUpstreamUsage:
    """Upstreams' own accounts, each question and its answer together bounded by timeout_s and ANSWER_BYTES_MAX.

    Why an upstream says nothing is logged, once until it is for another reason.

    local: the base URLs of the processes inside this machine that serve an upstream, asked anew each time.
    key_at: the API key at a place (Upstream.key); raises BadInput when there is none, and the upstream cannot be asked.
    """

    def __init__(
        self, local: Callable[[str], Sequence[str]], key_at: Callable[[str], str], *, timeout_s: float = 2.0
    ) -> None:
        self._local = local
        self._key_at = key_at
        self._timeout_s = timeout_s
        self._faults: dict[str, str] = {}  # By base URL.

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
        fields = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            status, body = asyncio.run(_got(f"{base_url}/usage/{quote(request_id, safe='')}", fields, self._timeout_s))
            if status not in {200, 404}:
                raise _NoAnswer(f"it answered with the status {status}")
            account = _decoder.decode(body) if status == 200 else None
        except TimeoutError:
            self._say(base_url, f"no whole answer within {self._timeout_s:g} s")
            return None
        except (_NoAnswer, OSError, ValueError) as error:
            self._say(base_url, str(error) or type(error).__name__)
            return None
        self._faults.pop(base_url, None)
        if account is None:
            return _NOT_HERE
        usage = bytes(account.usage)
        return ServedUsage(state=account.state, usage=b"" if usage == b"null" else usage)

    def _say(self, base_url: str, reason: str) -> None:
        if self._faults.get(base_url) != reason:
            self._faults[base_url] = reason
            _log.warning("upstream_usage_not_told base_url=%s reason=%s; it is asked again", base_url, reason)


class _NoAnswer(Exception):
    """Why what an upstream says is no answer."""


async def _got(url: str, fields: Mapping[str, str], timeout_s: float) -> tuple[int, bytes]:
    """(the status, the body). A redirect is no answer, and must not carry the key elsewhere.

    Raises: TimeoutError, however the upstream spends the time; _NoAnswer.
    """
    import aiohttp  # Only where there is something to ask.

    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s), auto_decompress=False) as session,
            session.get(url, headers=fields, allow_redirects=False) as answer,
        ):
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > ANSWER_BYTES_MAX:
                    raise _NoAnswer(f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
            return answer.status, bytes(body)
    except TimeoutError:  # Some of aiohttp's are errors of the connection, too.
        raise
    except aiohttp.ClientError as error:
        raise _NoAnswer(str(error) or type(error).__name__) from None
