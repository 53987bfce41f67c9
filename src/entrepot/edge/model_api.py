"""The HTTP of one model process: OpenAI's routes for its model, on loopback, and what each request took.

A request may bring its id in `x-request-id`; `GET /v1/usage/{id}` then says what it took, also after its client
left. An id whose request is still running is refused to a second one. Whatever a request asks and we cannot do is
answered with 400.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from entrepot.core.errors import EntrepotError, InvalidRequest, OperationNotSupported, RequestTooLarge, RouteNotFound
from entrepot.edge.error_bodies import openai_error
from entrepot.flows.describe_model import DescribeModel

BODY_BYTES_MAX = 8 * 1024 * 1024
OPERATIONS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)

log = logging.getLogger(__name__)


class Exchange(Protocol):
    """One request being answered."""

    @property
    def streamed(self) -> bool:
        """Whether parts are server-sent events, else one JSON body."""
        ...

    def parts(self) -> AsyncIterator[bytes]:
        """The answer; to be read to the end in any case."""
        ...

    def abandon(self) -> None:
        """The client left."""
        ...


Operation = Callable[[bytes, str], Awaitable[Exchange]]


def model_app(operations: Mapping[str, Operation], describe: DescribeModel, mint_id: Callable[[], str]) -> Starlette:
    """The application.

    operations: by path, those of OPERATIONS that the model offers. mint_id: for requests that bring no id.
    """

    async def operate(request: Request) -> Response:
        operation = operations.get(request.url.path)
        if operation is None:
            raise OperationNotSupported(f"The model '{describe.model_id}' does not offer {request.url.path}.")
        request_id = _request_id(request, mint_id)
        return _Relayed(await operation(await _body(request), request_id), request_id)

    async def models(_: Request) -> Response:
        return _json(describe.models())

    async def model(request: Request) -> Response:
        return _json(describe.model(request.path_params["model"]))

    async def usage(request: Request) -> Response:
        return _json(describe.usage(request.path_params["request_id"]))

    async def alive(_: Request) -> Response:
        return _json(msgspec.json.encode({"status": "ok", "model": describe.model_id}))

    return Starlette(
        routes=[
            *(Route(path, operate, methods=["POST"]) for path in OPERATIONS),
            Route("/v1/models", models),
            Route("/v1/models/{model:path}", model),
            Route("/v1/usage/{request_id}", usage),
            Route("/healthz", alive),
        ],
        exception_handlers={
            EntrepotError: _refused,
            HTTPException: _unrouted,
            ClientDisconnect: _gone,
            Exception: _broken,
        },
    )


class _Relayed(Response):
    """An exchange as a response. When the client leaves, the exchange is abandoned and still read to its end."""

    def __init__(self, exchange: Exchange, request_id: str) -> None:
        super().__init__()
        self._exchange = exchange
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        relaying = asyncio.ensure_future(self._relay(send))
        watching = asyncio.ensure_future(self._watch(receive))
        try:
            await asyncio.shield(relaying)
        except asyncio.CancelledError:  # The process is closing and will not wait any longer.
            self._exchange.abandon()
            with contextlib.suppress(asyncio.CancelledError):
                await relaying
        finally:
            watching.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._exchange.abandon()

    async def _relay(self, send: Send) -> None:
        begun = False
        try:
            async for part in self._exchange.parts():
                if not begun:
                    await send(self._start(200, None if self._exchange.streamed else len(part)))
                    begun = True
                await send(_part(part, more=self._exchange.streamed))
        except EntrepotError as error:
            log.exception("model_request_failed request_id=%s", self._request_id)
            answer = openai_error(error)
            if not begun:
                await send(self._start(answer.status, len(answer.body)))
                await send(_part(answer.body, more=False))
                return
            await send(_part(b"data: " + answer.body + b"\n\n", more=True))
        if begun and self._exchange.streamed:
            await send(_part(b"", more=False))

    def _start(self, status: int, length: int | None) -> Message:
        streamed = length is None
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8" if streamed else b"application/json"),
            (b"cache-control", b"no-cache") if streamed else (b"content-length", str(length).encode()),
            (b"x-request-id", self._request_id.encode()),
        ]
        return {"type": "http.response.start", "status": status, "headers": headers}


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _request_id(request: Request, mint_id: Callable[[], str]) -> str:
    given = request.headers.get("x-request-id")
    if given is None:
        return mint_id()
    if not _ID.fullmatch(given):
        raise InvalidRequest(
            "'x-request-id' must be 1 to 128 of a-z, A-Z, 0-9, '.', '_', ':' and '-'.", param="x-request-id"
        )
    return given


async def _body(request: Request) -> bytes:
    body = bytearray()
    async with contextlib.aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise RequestTooLarge(f"The body is longer than {BODY_BYTES_MAX} bytes.")
    return bytes(body)


def _json(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, EntrepotError)
    headers = {} if error.retry_after_s is None else {"retry-after": f"{error.retry_after_s:g}"}
    if request_id := request.headers.get("x-request-id"):
        headers["x-request-id"] = request_id
    answer = openai_error(error)
    return _json(answer.body, answer.status, headers)


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    shown = RouteNotFound(f"{request.method} {request.url.path}: no such route here.")
    return _json(openai_error(shown).body, error.status_code, error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # Nobody reads it.


async def _broken(_: Request, __: Exception) -> Response:
    answer = openai_error(EntrepotError("The model process met an error of its own; it is in its log."))
    return _json(answer.body, answer.status)
