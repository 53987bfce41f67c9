"""What the gateway answers: every path, with how it may be asked."""

import re
from dataclasses import dataclass
from typing import Literal

from entrepot.core.errors import NotFound, RouteNotFound
from entrepot.dialects import azure
from entrepot.dialects.operations import OPERATIONS

Kind = Literal["inference", "realtime", "models", "model", "info", "jobs", "stored", "healthz", "readyz", "metrics"]
Version = Literal["any", "undated", "dated"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path that is answered; {…} stands for one segment. version: which api-version its query may or must name.

    operation: of a route of kind inference, its name. prefix: of a route of kind jobs or stored, what stands before
    the path that the jobs process or an upstream knows.
    """

    path: str
    kind: Kind
    version: Version = "undated"
    operation: str = "chat"
    prefix: str = ""

    @property
    def is_azure(self) -> bool:
        """Whether it answers in Azure's dialect."""
        return self.version == "dated"

    @property
    def methods(self) -> tuple[bytes, ...]:
        """What it can be asked with."""
        if self.kind == "jobs":
            return _JOBS[self.path.removeprefix(self.prefix)]
        if self.kind == "stored":
            return _STORED[self.path.removeprefix(self.prefix)]
        if self.kind == "realtime":
            return (b"GET",)
        return (b"POST",) if self.kind == "inference" else (b"GET", b"HEAD")


_JOB_ID = re.compile(rb"[A-Za-z0-9_-]{1,100}")

# What the jobs process answers; {id} stands for one segment.
_JOBS: dict[str, tuple[bytes, ...]] = {
    "/files": (b"GET", b"POST"),
    "/files/{id}": (b"GET", b"DELETE"),
    "/files/{id}/content": (b"GET",),
    "/batches": (b"GET", b"POST"),
    "/batches/{id}": (b"GET",),
    "/batches/{id}/cancel": (b"POST",),
}


# What the upstream of a stored response answers.
_STORED: dict[str, tuple[bytes, ...]] = {
    "/responses/{id}": (b"GET", b"DELETE"),
    "/responses/{id}/cancel": (b"POST",),
    "/responses/{id}/input_items": (b"GET",),
}

# Azure's routes of a deployment, which name it in the path; what else it has names the deployment as model.
_AZURE_DEPLOYMENT = (
    *("chat", "completions", "embeddings", "images", "image_edits"),
    *("speech", "transcriptions", "translations"),
)
_AZURE = ("responses", "compact_response", "count_response")
# What the clients of Azure AI Inference ask behind their endpoint …/models.
_AZURE_MODELS = ("chat", "embeddings")

ROUTES = (
    *(
        Route(f"{prefix}{row.path}", "inference", operation=row.name)
        for prefix in ("/v1", "/openai/v1")
        for row in OPERATIONS.values()
    ),
    *(
        Route(f"/openai/deployments/{{deployment}}{OPERATIONS[name].path}", "inference", "dated", name)
        for name in _AZURE_DEPLOYMENT
    ),
    *(Route(f"/openai{OPERATIONS[name].path}", "inference", "dated", name) for name in _AZURE),
    *(Route(f"/models{OPERATIONS[name].path}", "inference", "dated", name) for name in _AZURE_MODELS),
    *(Route(f"/v1{path}", "stored", prefix="/v1") for path in _STORED),
    *(Route(f"/openai/v1{path}", "stored", prefix="/openai/v1") for path in _STORED),
    *(Route(f"/openai{path}", "stored", "dated", prefix="/openai") for path in _STORED),
    Route("/v1/realtime", "realtime"),
    Route("/openai/v1/realtime", "realtime"),
    Route("/openai/realtime", "realtime", "dated"),
    Route("/v1/models", "models"),
    Route("/v1/models/{model}", "model"),
    Route("/openai/v1/models", "models"),
    Route("/openai/v1/models/{model}", "model"),
    Route("/openai/models", "models", "dated"),
    Route("/openai/models/{model}", "model", "dated"),
    # What a client of Azure AI Inference asks of its endpoint, to know what kind of client it is.
    Route("/models/info", "info", "dated"),
    Route("/openai/deployments/{deployment}/info", "info", "dated"),
    Route("/healthz", "healthz", "any"),
    Route("/readyz", "readyz", "any"),
    Route("/metrics", "metrics", "any"),
    *(Route(f"/v1{path}", "jobs", prefix="/v1") for path in _JOBS),
    *(Route(f"/openai/v1{path}", "jobs", prefix="/openai/v1") for path in _JOBS),
    *(Route(f"/openai{path}", "jobs", "dated", prefix="/openai") for path in _JOBS),
    # Node's AzureOpenAI asks for a batch here, by the deployment it was made with.
    Route("/openai/deployments/{deployment}/batches", "jobs", "dated", prefix="/openai/deployments/{deployment}"),
)


class MethodRefused(Exception):
    """The route is asked with another method."""

    def __init__(self, route: "Route") -> None:
        super().__init__(route.path)
        self.route = route


@dataclass(frozen=True, slots=True)
class Found:
    """The route of a path. segment: what stands for {…}, as sent; name: the same, decoded. Both empty without one."""

    route: Route
    segment: bytes = b""
    name: str = ""


_SLASH_TWICE = b"//openai/"
_AZURE_PREFIXES = (b"/openai/", b"/models/")
_WHOLE = {route.path.encode(): Found(route) for route in ROUTES if "{" not in route.path}
# {what stands before the segment: {what stands behind it: route}}
_PARTED: dict[bytes, dict[bytes, Route]] = {}
for _route in ROUTES:
    if "{" in _route.path:
        _before, _, _rest = _route.path.encode().partition(b"{")
        _PARTED.setdefault(_before, {})[_rest.partition(b"}")[2]] = _route


def find_route(path: bytes) -> Found:
    """The route of a path as sent: nothing is decoded or tidied up before it is matched. Raises: RouteNotFound.

    But for the slash that an endpoint ends with, as Azure's portal shows it: clients that put /openai behind it, and
    Azure's own samples, write two.
    """
    whole = _WHOLE.get(path)
    if whole is not None:
        return whole
    for before, by_rest in _PARTED.items():
        if path.startswith(before):
            segment, slash, rest = path[len(before) :].partition(b"/")
            route = by_rest.get(slash + rest)
            if route is not None and segment:
                return Found(route, segment, azure.decode_segment(segment))
    if path.startswith(_SLASH_TWICE):
        return find_route(path[1:])
    raise RouteNotFound(f"There is no {_shown(path)} here; see GET /v1/models and POST /v1/chat/completions.")


def job_target(found: Found, query: bytes) -> bytes:
    """What a request of kind jobs is about, as the jobs process is asked for it: path and query. Raises: NotFound."""
    path = found.route.path.removeprefix(found.route.prefix).encode()
    if b"{id}" in path:
        if not _JOB_ID.fullmatch(found.segment):
            raise NotFound(f"There is nothing with the id {_shown(found.segment)} here.")
        path = path.replace(b"{id}", found.segment)
    return path + (b"?" + query if query else b"")


def check_found(route: Route, method: bytes, query: bytes) -> None:
    """Nothing, when the route has the method and the version. Raises: MethodRefused, InvalidRequest, RouteNotFound."""
    if method not in route.methods:
        raise MethodRefused(route)
    if route.version == "dated":
        azure.check_dated_version(query)
    elif query and route.version == "undated":
        azure.check_undated_version(query)


def speaks_azure(path: bytes) -> bool:
    """Whether a path, known or not, is answered in Azure's dialect."""
    if path.startswith(_SLASH_TWICE):
        path = path[1:]
    return path.startswith(_AZURE_PREFIXES) and not path.startswith(b"/openai/v1/")


def _shown(path: bytes) -> str:
    return path[:100].decode("ascii", "replace")
