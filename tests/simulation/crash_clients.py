"""The clients of a crash run: they ask what is planned, leave when they are told to, and keep what they were told."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence

import aiohttp

from tests.simulation.crash_counts import INSTANCE, Meters, meters_told
from tests.simulation.crash_plan import CHAT, COMPLETIONS, RESPONSES, Planned
from tests.simulation.crash_processes import Product
from tests.support.operations import recording

_PATIENCE_S = 60.0  # Of one client, with all it sends again.
_AGAIN_S = 0.3
_AFTERWARDS = Planned(0, CHAT, {"model": "chat", "messages": [{"role": "user", "content": "hello"}]})
_ANSWERS = re.compile(rb'"model": ?"pair-(\w+)"')


class Clients:
    """Sends requests to the product, wherever it is just then, and sends them again when it says so.

    told: {request id: its meters, {} if those were not told} of answers that came whole. answered_by: {request id:
    upstream} of those that may have either of two. cut: {gateway: what it said} of those that broke an answer off which
    nobody had meant to break.
    """

    def __init__(self, product: Product, key: str, guest_key: str) -> None:
        self._product = product
        self._key, self._guest_key = key, guest_key
        self.told: dict[str, Meters] = {}
        self.answered_by: dict[str, str] = {}
        self.broken = self.left = 0
        self.cut: dict[str, str] = {}

    async def send_all(self, plan: Sequence[Planned]) -> None:
        """Returns when every request has ended."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            await asyncio.gather(*(self._send(session, request) for request in plan))

    async def ask_afterwards(self) -> str:
        """The gateway that answered a request, once one did. A budget's counter is brought up to date by a request."""
        before = set(self.told)
        async with asyncio.timeout(_PATIENCE_S):
            while not (answered := self.told.keys() - before):
                await self.send_all([_AFTERWARDS])
        return answered.pop()[INSTANCE]

    async def _send(self, session: aiohttp.ClientSession, request: Planned) -> None:
        await asyncio.sleep(request.at_s)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    if self._product.gateway and not await self._is_refused(session, request):
                        break
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            self.broken += 1

    async def _is_refused(self, session: aiohttp.ClientSession, request: Planned) -> bool:
        """Whether the request shall be sent again: nobody was there, or it was to come back later."""
        try:
            async with asyncio.timeout(request.leave_s):
                return await self._ask(session, request)
        except aiohttp.ClientConnectorError:
            return True
        except TimeoutError:
            if request.leave_s is None:
                raise
            self.left += 1
            return False

    async def _ask(self, session: aiohttp.ClientSession, request: Planned) -> bool:
        """Asks once; whether to ask again. Raises: TimeoutError, ClientConnectorError."""
        asked = session.post(
            self._product.gateway + request.path,
            headers={"authorization": f"Bearer {self._guest_key if request.with_guest else self._key}"},
            json=None if request.by_form else request.body,
            data=_form(request.body) if request.by_form else None,
        )
        request_id = said = ""
        try:
            async with asked as answer:
                request_id = answer.headers["x-request-id"]
                if answer.status == 503 and "retry-after" in answer.headers:
                    return True
                if request.leave_after is not None:
                    await self._leave(answer, request.leave_after)
                    return False
                payload = b""
                async for piece in answer.content.iter_any():
                    payload += piece
                    self._look_who_answers(request_id, payload)
                if answer.status == 200 and _is_whole(request, payload):
                    self.told[request_id] = _told(request, payload)
                    return False
                said = f"{answer.status} {payload[-200:]!r}"
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            said = repr(error)
        self.broken += 1
        if request_id and request.ends_well:
            self.cut[request_id[INSTANCE]] = f"{said} to {request.body}"
        return False

    def _look_who_answers(self, request_id: str, said: bytes) -> None:
        found = None if request_id in self.answered_by else _ANSWERS.search(said)
        if found is not None:
            self.answered_by[request_id] = found[1].decode()

    async def _leave(self, answer: aiohttp.ClientResponse, after: int) -> None:
        for _ in range(after + 1):
            line = await answer.content.readline()
            if not line:
                break
            self._look_who_answers(answer.headers["x-request-id"], line)
        answer.close()
        self.left += 1


def _form(body: Mapping[str, object]) -> aiohttp.FormData:
    form = aiohttp.FormData({name: str(value) for name, value in body.items()})
    form.add_field("file", recording(1), filename="r.wav", content_type="audio/wav")
    return form


def _is_whole(request: Planned, payload: bytes) -> bool:
    if not request.streams:
        return True
    if request.path in (CHAT, COMPLETIONS):
        return payload.endswith(b"data: [DONE]\n\n")
    return b'"error":' not in payload and (request.path != RESPONSES or b'"response.completed"' in payload)


def _told(request: Planned, payload: bytes) -> Meters:
    """The meters that the client was told of text or embeddings, or {} where it was told none."""
    if request.body["model"] == "media":
        return {}
    if not request.streams:
        return meters_told(json.loads(payload).get("usage"))
    datas = (line[6:] for line in payload.split(b"\n") if line.startswith(b"data: {"))
    events = [json.loads(data) for data in datas]
    usages = [(event.get("response") or event).get("usage") for event in events]
    return meters_told(next((usage for usage in reversed(usages) if usage), None))
