"""What the Azure routes have of their own: deployments in the path, dated versions in the query."""

from urllib.parse import parse_qsl, unquote

import msgspec

from entrepot.core.errors import InvalidRequest, RouteNotFound
from entrepot.core.periods import Instant
from entrepot.core.snapshot import ServedDeployment
from entrepot.dialects.lifecycle import describe_lifecycle
from entrepot.dialects.openai_wire import UpstreamError

# Source: the data-plane versions in Microsoft's API lifecycle pages and published specifications.
VERSIONS = frozenset({
    "2022-12-01",
    "2023-03-15-preview",
    "2023-05-15",
    "2023-06-01-preview",
    "2023-07-01-preview",
    "2023-08-01-preview",
    "2023-09-01-preview",
    "2023-12-01-preview",
    "2024-02-01",
    "2024-02-15-preview",
    "2024-03-01-preview",
    "2024-04-01-preview",
    "2024-05-01-preview",
    "2024-06-01",
    "2024-07-01-preview",
    "2024-08-01-preview",
    "2024-09-01-preview",
    "2024-10-01-preview",
    "2024-10-21",
    "2024-12-01-preview",
    "2025-01-01-preview",
    "2025-02-01-preview",
    "2025-03-01-preview",
    "2025-04-01-preview",
})  # fmt: skip

_FILTERED = "ResponsibleAIPolicyViolation"  # Source: Azure OpenAI, "Content filtering", what a blocked prompt gets.

# Source: Azure AI model inference, "Get Model Info", and the types that its clients know.
_MODEL_TYPES = {
    "chat": "chat_completion",
    "completions": "text_generation",
    "embeddings": "embeddings",
    "images": "image_generation",
    "speech": "audio_generation",
}

# What the undated routes under /openai/v1 may say; saying nothing is as good.
UNDATED_VERSIONS = frozenset({"v1", "preview", "latest"})


def decode_segment(segment: bytes) -> str:
    """A path segment, percent-decoded once. Raises: RouteNotFound when it is empty, a dot segment or not UTF-8."""
    try:
        name = unquote(segment.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise RouteNotFound("the name in the path is not percent-encoded UTF-8") from None
    if name in {"", ".", ".."}:
        raise RouteNotFound("the name in the path is missing")
    return name


def check_dated_version(query: bytes) -> None:
    """Nothing, when the query names a known version. Raises: InvalidRequest without one, RouteNotFound for another."""
    version = _version_in(query)
    if not version:
        raise InvalidRequest(
            "The query parameter api-version is missing; add for example ?api-version=2024-10-21, "
            "or use the routes under /openai/v1, which need none.",
            param="api-version",
        )
    if version not in VERSIONS:
        raise RouteNotFound(f"The API version {version[:40]!r} is not known here; 2024-10-21 is.", param="api-version")


def check_undated_version(query: bytes) -> None:
    """Nothing, when the query names no version or an undated one. Raises: RouteNotFound."""
    version = _version_in(query)
    if version and version not in UNDATED_VERSIONS:
        raise RouteNotFound(
            f"The API version {version[:40]!r} belongs to the dated routes under /openai/deployments; "
            "here leave it out or say v1.",
            param="api-version",
        )


def _version_in(query: bytes) -> str:
    """The api-version of a query string, or ""."""
    if not query:
        return ""
    return dict(parse_qsl(query.decode("ascii", "replace"), keep_blank_values=True)).get("api-version", "")


def model_in(query: bytes) -> str:
    """The model that a query string names, or ""."""
    return dict(parse_qsl(query.decode("ascii", "replace"))).get("model", "")


def write_error(code: str, message: str, more: dict[str, object] | None = None) -> bytes:
    """An error body as Azure's gateway writes it. more: what only we say."""
    error: dict[str, object] = {"code": code, "message": message}
    return msgspec.json.encode({"error": error if more is None else {**error, "entrepot": more}})


def filter_members(status: int, error: UpstreamError, *, is_azure: bool) -> dict[str, object]:
    """What an error has beside OpenAI's members: what Azure's content filter said, as it said it.

    In Azure's dialect a filter that says no more than its code has its say, with nothing known of its categories.
    """
    told = {"innererror": error.innererror, "inner_error": error.inner_error}
    said: dict[str, object] = {name: raw for name, raw in told.items() if bytes(raw) not in {b"", b"null"}}
    if not is_azure or error.code != "content_filter":
        return said
    return {"status": status, **(said or {"innererror": {"code": _FILTERED, "content_filter_result": {}}})}


def tell_model(deployment: ServedDeployment) -> dict[str, object]:
    """A deployment's model as Azure AI Inference tells of it: its name, what it is for, and who made it."""
    types = [told for operation, told in _MODEL_TYPES.items() if operation in deployment.operations]
    return {
        "model_name": deployment.model,
        "model_type": [*types, *deployment.operations, ""][0],
        "model_provider_name": deployment.owned_by,
    }


def describe_model(deployment: ServedDeployment, at: Instant) -> dict[str, object]:
    """A deployment as an entry of the models list. model: what it is a deployment of."""
    return {
        "id": deployment.name,
        "object": "model",
        "status": "succeeded",
        "created_at": 0,
        **describe_lifecycle(deployment, at),
        "capabilities": {
            "inference": True,
            "chat_completion": "chat" in deployment.operations,
            "completion": "completions" in deployment.operations,
            "embeddings": "embeddings" in deployment.operations,
            "fine_tune": False,
        },
        "model": deployment.model,
        "owned_by": deployment.owned_by,
    }
