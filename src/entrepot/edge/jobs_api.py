"""Files and batches over HTTP, for gateways: they have said who calls, and forward the request as it came.

Paths are those below the version or dialect prefix, which the gateway removes: /files, /batches. Whose request it is,
which dialect its errors speak, and the deployment that its path named are in fields of our own.
"""

import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entrepot.core.errors import EntrepotError, InvalidApiKey, InvalidRequest, NotFound, UnsupportedValue
from entrepot.core.jobs import Batch, StoredFile
from entrepot.dialects.azure import decode_segment
from entrepot.edge.error_bodies import azure_error, openai_error
from entrepot.flows.run_batches import Desk

Handler = Callable[[Request], Awaitable[Response]]

PROJECT = "x-entrepot-project"
DIALECT = "x-entrepot-dialect"
DEPLOYMENT = "x-entrepot-deployment"

_log = logging.getLogger("entrepot.jobs")
_encoder = msgspec.json.Encoder()


class _Creation(msgspec.Struct):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: msgspec.Raw = msgspec.Raw(b"null")


def jobs_app(desk: Desk, token: str, wake: Callable[[], None]) -> Starlette:
    """The application. token: what gateways show; wake: called when there may be a batch to run."""
    api = _Api(desk, token, wake)
    routes = [
        Route("/files", api.guard(api.upload), methods=["POST"]),
        Route("/files", api.guard(api.list_files), methods=["GET"]),
        Route("/files/{file_id}", api.guard(api.get_file), methods=["GET"]),
        Route("/files/{file_id}", api.guard(api.delete_file), methods=["DELETE"]),
        Route("/files/{file_id}/content", api.guard(api.get_content), methods=["GET"]),
        Route("/batches", api.guard(api.create_batch), methods=["POST"]),
        Route("/batches", api.guard(api.list_batches), methods=["GET"]),
        Route("/batches/{batch_id}", api.guard(api.get_batch), methods=["GET"]),
        Route("/batches/{batch_id}/cancel", api.guard(api.cancel_batch), methods=["POST"]),
    ]
    return Starlette(routes=routes)


class _Api:
    def __init__(self, desk: Desk, token: str, wake: Callable[[], None]) -> None:
        self._desk = desk
        self._authorization = f"Bearer {token}".encode()
        self._wake = wake

    def guard(self, handler: Handler) -> Handler:
        """The handler, for gateways only, with failures as the OpenAI error body."""

        async def guarded(request: Request) -> Response:
            try:
                shown = request.headers.get("authorization", "").encode()
                if not hmac.compare_digest(shown, self._authorization):
                    raise InvalidApiKey("this address is for gateways; use the gateway's")
                return await handler(request)
            except EntrepotError as error:
                return _refusal(request, error)
            except HTTPException as error:  # A form that cannot be read.
                return _refusal(request, InvalidRequest(str(error.detail)))
            except Exception:  # noqa: BLE001 - the boundary of the process: logged and answered
                _log.exception("job_request_failed path=%s", request.url.path)
                return _refusal(request, EntrepotError("Something went wrong here; the operator's log has the reason."))

        return guarded

    async def upload(self, request: Request) -> Response:
        """POST /files: multipart with purpose and file."""
        async with request.form() as form:
            if any(name.startswith("expires_after") for name in form):
                raise UnsupportedValue("files are kept until they are deleted", param="expires_after")
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile) or not isinstance(purpose, str):
                raise InvalidRequest("send multipart/form-data with the fields `purpose` and `file`", param="file")
            stored = self._desk.upload(_project(request), file.filename or "upload.jsonl", purpose, await file.read())
        return _json(stored)

    async def list_files(self, request: Request) -> Response:
        """GET /files: newest first; ?purpose= narrows."""
        purpose = request.query_params.get("purpose")
        files = [file for file in self._desk.store.files(_project(request)) if purpose in (None, file.purpose)]
        return _page(request, files)

    async def get_file(self, request: Request) -> Response:
        """GET /files/{id}."""
        return _json(self._desk.store.file(_project(request), request.path_params["file_id"]))

    async def delete_file(self, request: Request) -> Response:
        """DELETE /files/{id}."""
        file_id = request.path_params["file_id"]
        self._desk.remove(_project(request), file_id)
        return _json({"id": file_id, "object": "file", "deleted": True})

    async def get_content(self, request: Request) -> Response:
        """GET /files/{id}/content: the bytes as they were stored."""
        content = self._desk.store.content(_project(request), request.path_params["file_id"])
        return Response(content, media_type="application/octet-stream")

    async def create_batch(self, request: Request) -> Response:
        """POST /batches."""
        try:
            wanted = msgspec.json.decode(await request.body(), type=_Creation)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"the body is not a batch: {error}") from None
        if bytes(wanted.output_expires_after) != b"null":
            raise UnsupportedValue("files are kept until they are deleted", param="output_expires_after")
        batch = self._desk.create(
            _project(request),
            wanted.input_file_id,
            wanted.endpoint,
            wanted.completion_window,
            wanted.metadata,
            decode_segment(named.encode()) if (named := request.headers.get(DEPLOYMENT, "")) else "",
        )
        self._wake()
        return _json(batch)

    async def list_batches(self, request: Request) -> Response:
        """GET /batches: newest first."""
        return _page(request, self._desk.store.batches(_project(request)))

    async def get_batch(self, request: Request) -> Response:
        """GET /batches/{id}."""
        return _json(self._desk.store.batch(_project(request), request.path_params["batch_id"]))

    async def cancel_batch(self, request: Request) -> Response:
        """POST /batches/{id}/cancel."""
        batch = self._desk.cancel(_project(request), request.path_params["batch_id"])
        self._wake()
        return _json(batch)


def _project(request: Request) -> str:
    return request.headers[PROJECT]


def _page(request: Request, items: Sequence[StoredFile | Batch]) -> Response:
    """One page: ?after= an id, ?limit= 1 to 100 (20)."""
    limit_text = request.query_params.get("limit", "20")
    if re.fullmatch("[0-9]{1,3}", limit_text) is None or not 1 <= int(limit_text) <= 100:
        raise InvalidRequest(f"limit is {limit_text!r}; use 1 to 100", param="limit")
    ids = [item.id for item in items]
    after = request.query_params.get("after")
    if after is not None and after not in ids:
        raise NotFound(f"nothing here has the id {after!r}", param="after")
    begin = ids.index(after) + 1 if after is not None else 0
    shown = items[begin : begin + int(limit_text)]
    return _json(
        {
            "object": "list",
            "data": shown,
            "first_id": ids[begin] if shown else None,
            "last_id": ids[begin + len(shown) - 1] if shown else None,
            "has_more": begin + len(shown) < len(items),
        }
    )


def _json(content: object) -> Response:
    return Response(_encoder.encode(content), media_type="application/json")


def _refusal(request: Request, error: EntrepotError) -> Response:
    answer = (azure_error if request.headers.get(DIALECT) == "azure" else openai_error)(error)
    return Response(answer.body, answer.status, media_type="application/json")
