"""Requests with made-up prompts, sent as any OpenAI client sends them."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from entrepot.ports.traffic import TrafficAnswer, TrafficRequest

# Words that are one token, with the space before them, in every vocabulary made from English text.
_TEXT = """
the of and to in is it for on as with was that by this from are at be have not or an but what all we when your can there
use each which do how their if will up other about out many then them these so some her would make like him into time
has look two more write go see number no way could people my than first water been call who oil its now find long down
day did get come made may part over new sound take only little work know place year live me back give most very after
thing our just name good sentence man think say great where help through much before line right too mean old any same
tell boy follow came want show also around form three small set put end does another well large
"""
_WORDS = _TEXT.split()
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, and as whom. base_url ends in /v1."""

    base_url: str
    key: str
    deployment: str
    stream: bool
    seed: int
    timeout_s: float = 600.0


class HttpTraffic:
    """See ports.traffic.Traffic."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self._endpoint = endpoint
        self._session = session
        self._url = endpoint.base_url.rstrip("/") + "/chat/completions"

    async def send(self, request: TrafficRequest) -> TrafficAnswer:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with self._session.post(self._url, json=self._body(request)) as response:
                if response.status != 200:
                    return TrafficAnswer(response.status, _refusal(response.status, await response.read()))
                first, chunks = await _first_byte(response)
                usage, error = await _streamed(chunks) if self._endpoint.stream else _whole(await _joined(chunks))
                return TrafficAnswer(
                    status=200,
                    error=error,
                    input_tokens=usage.get("prompt_tokens"),
                    output_tokens=usage.get("completion_tokens"),
                    first_byte_us=round((first - begun) * _US),
                    elapsed_us=round((loop.time() - begun) * _US),
                )
        except TimeoutError:
            return TrafficAnswer(0, "no answer in time")
        except aiohttp.ClientConnectorError as error:
            return TrafficAnswer(0, f"no connection: {error.strerror or error}")
        except aiohttp.ClientError as error:
            return TrafficAnswer(0, f"connection lost: {type(error).__name__}")

    def _body(self, request: TrafficRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._endpoint.deployment,
            "messages": [{"role": "user", "content": prompt(self._endpoint.seed, request)}],
            "max_tokens": request.answer_tokens,
        }
        if self._endpoint.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


@asynccontextmanager
async def http_traffic(endpoint: Endpoint) -> AsyncIterator[HttpTraffic]:
    """A sender with connections of its own, as many as are asked of it."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=endpoint.timeout_s),
        headers={"Authorization": f"Bearer {endpoint.key}"},
    ) as session:
        yield HttpTraffic(endpoint, session)


def prompt(seed: int, request: TrafficRequest) -> str:
    """About as many tokens as asked, as words that mean nothing together; the same for the same seed and number."""
    chance = random.Random(f"{seed}/{request.number}")  # noqa: S311 - words, not secrets
    return " ".join(chance.choices(_WORDS, k=request.prompt_tokens))


async def _first_byte(response: aiohttp.ClientResponse) -> tuple[float, AsyncIterator[bytes]]:
    """When the body began, by the event loop's clock, and the body in pieces."""
    pieces = response.content.iter_any()
    first = await anext(pieces, b"")
    at = asyncio.get_running_loop().time()

    async def chunks() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return at, chunks()


async def _joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def _whole(body: bytes) -> tuple[dict[str, Any], str]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}, "200 and no JSON"
    return (answer.get("usage") or {}, "") if isinstance(answer, dict) else ({}, "200 and no JSON object")


async def _streamed(chunks: AsyncIterator[bytes]) -> tuple[dict[str, Any], str]:
    """The usage that a stream ends with, and what broke it."""
    usage: dict[str, Any] = {}
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data: [DONE]"):
                return usage, "" if usage else "200 without usage"
            if line.startswith(b"data: ") and (b'"usage"' in line or b'"error"' in line):
                event = json.loads(line[6:])
                if event.get("error"):
                    return usage, f"200, then {event['error'].get('code') or 'an error'}"
                usage = event.get("usage") or usage
    return usage, "200, then the stream broke off"


def _refusal(status: int, body: bytes) -> str:
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = None
    return f"{status} {code}" if code else str(status)
