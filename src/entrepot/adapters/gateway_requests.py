"""Sending a batch's requests through the gateway, so that they are authorised, metered and relayed like any other."""

import aiohttp
import msgspec

from entrepot.core.catalog import Operation
from entrepot.core.jobs import Task, TaskAnswer

_PATHS: dict[Operation, str] = {
    "chat": "chat/completions",
    "completions": "completions",
    "embeddings": "embeddings",
    "responses": "responses",
    "images": "images/generations",
    "moderations": "moderations",
    "rerank": "rerank",
}
# 401 is about our own token, which changes when its file is replaced while a process still knows the old one.
_TRY_LATER = {401, 429, 503}
_ON_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class GatewayRequests:
    """Requests to the gateway at `base_url`, trusted for any project by `token`."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: str) -> None:
        self._session = session
        self._base_url = base_url
        self._token = token
        self._closed = False

    def close(self) -> None:
        """Sends nothing any more; what was sent is still awaited."""
        self._closed = True

    async def send(self, project: str, operation: Operation, task: Task) -> TaskAnswer | None:
        """The gateway's answer, or None when it could not be reached or asked to try later."""
        if self._closed:
            return None
        headers = {
            "authorization": f"Bearer {self._token}",
            "content-type": "application/json",
            "x-entrepot-project": project,
            "x-entrepot-tier": "batch",
        }
        url = f"{self._base_url}/v1/{_PATHS[operation]}"
        try:
            async with self._session.post(url, data=task.body, headers=headers) as answer:
                body = await answer.read()
                if answer.status in _TRY_LATER:
                    return None
                request_id = answer.headers.get("x-request-id", "")
                return TaskAnswer(task.line, task.custom_id, answer.status, request_id, _as_json(body))
        except (aiohttp.ClientError, TimeoutError):
            return None


def _as_json(body: bytes) -> bytes:
    """The body when it is JSON, else its text as a JSON string, so that the output file stays one object a line."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.DecodeError:
        return msgspec.json.encode(body.decode("utf-8", "replace"))
    return body.translate(_ON_ONE_LINE)
