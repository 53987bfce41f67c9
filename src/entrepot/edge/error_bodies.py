"""The one table from errors to statuses, OpenAI bodies and Azure bodies."""

from typing import NamedTuple

from entrepot.core import errors
from entrepot.core.errors import EntrepotError, LimitReached, RateLimitExceeded
from entrepot.dialects import azure, openai
from entrepot.dialects.openai_wire import UpstreamError
from entrepot.edge.limit_fields import explained


class Shape(NamedTuple):
    """How an error looks. code: OpenAI's word for it; azure_status: where Azure answers another status than OpenAI."""

    status: int
    type: str
    code: str
    azure_code: str
    azure_status: int = 0


_REQUEST = "invalid_request_error"
_SERVER = "server_error"

SHAPES: dict[type[EntrepotError], Shape] = {
    EntrepotError: Shape(500, _SERVER, "internal", "InternalServerError"),
    errors.InvalidRequest: Shape(400, _REQUEST, "invalid_request", "BadRequest"),
    errors.UnsupportedValue: Shape(400, _REQUEST, "unsupported_value", "BadRequest"),
    errors.ContextLengthExceeded: Shape(400, _REQUEST, "context_length_exceeded", "context_length_exceeded"),
    errors.OperationNotSupported: Shape(400, _REQUEST, "operation_not_supported", "OperationNotSupported"),
    errors.InvalidApiKey: Shape(401, _REQUEST, "invalid_api_key", "401"),
    # Azure answers 401 where the data role is missing; 403 means its network rules there.
    errors.PermissionDenied: Shape(403, _REQUEST, "permission_denied", "PermissionDenied", 401),
    errors.DeploymentNotFound: Shape(404, _REQUEST, "model_not_found", "DeploymentNotFound"),
    errors.RouteNotFound: Shape(404, _REQUEST, "route_not_found", "404"),
    errors.ModelRetired: Shape(410, _REQUEST, "model_retired", "ModelRetired"),
    errors.RequestTooLarge: Shape(413, _REQUEST, "request_too_large", "RequestTooLarge"),
    errors.LimitReached: Shape(429, "requests", "rate_limit_exceeded", "429"),
    errors.RateLimitExceeded: Shape(429, "requests", "rate_limit_exceeded", "429"),
    errors.CapacityExceeded: Shape(429, "capacity", "capacity_exceeded", "429"),
    errors.FlexUnavailable: Shape(429, "capacity", "flex_unavailable", "429"),
    errors.BudgetExceeded: Shape(429, "insufficient_quota", "insufficient_quota", "429"),
    errors.RequestNeverFits: Shape(400, _REQUEST, "request_never_fits", "BadRequest"),
    errors.NoPrice: Shape(403, "insufficient_quota", "no_price", "Forbidden"),
    errors.CountersUnavailable: Shape(503, _SERVER, "counters_unavailable", "ServiceUnavailable"),
    errors.UpstreamFailed: Shape(502, _SERVER, "upstream_failed", "UpstreamFailed"),
    errors.UpstreamUnavailable: Shape(503, _SERVER, "upstream_unavailable", "ServiceUnavailable"),
    errors.UpstreamBusy: Shape(503, _SERVER, "upstream_busy", "ServiceUnavailable"),
    errors.UpstreamTimeout: Shape(504, _SERVER, "upstream_timeout", "Timeout"),
    errors.UsageLogUnavailable: Shape(503, _SERVER, "usage_log_unavailable", "ServiceUnavailable"),
    # What only the control side raises.
    errors.NotFound: Shape(404, _REQUEST, "not_found", "NotFound"),
    errors.BadInput: Shape(400, _REQUEST, "bad_input", "BadRequest"),
    errors.WorldRejected: Shape(422, _REQUEST, "world_rejected", "BadRequest"),
    errors.PeriodNotClosable: Shape(409, _REQUEST, "period_not_closable", "Conflict"),
    errors.BooksUnavailable: Shape(503, _SERVER, "books_unavailable", "ServiceUnavailable"),
    errors.SnapshotRefused: Shape(503, _SERVER, "snapshot_refused", "ServiceUnavailable"),
    errors.LogDamaged: Shape(500, _SERVER, "log_damaged", "InternalServerError"),
    errors.StartFailed: Shape(500, _SERVER, "start_failed", "InternalServerError"),
}


class ErrorAnswer(NamedTuple):
    """An error as it is sent."""

    status: int
    body: bytes


def shape_of(error: EntrepotError) -> Shape:
    """The shape of an error's class, or of the nearest class above it."""
    return next(SHAPES[kind] for kind in type(error).__mro__ if kind in SHAPES)


def openai_error(error: EntrepotError) -> ErrorAnswer:
    """The error as OpenAI's routes answer it; all four members are always there."""
    shape = shape_of(error)
    kind, more = shape.type, None
    if isinstance(error, LimitReached) and error.refusal is not None:
        more = explained(error.refusal)
        if isinstance(error, RateLimitExceeded):
            kind = error.refusal.measure
    body = openai.write_error(error.message, kind=kind, param=error.param, code=shape.code, more=more)
    return ErrorAnswer(shape.status, body)


def azure_error(error: EntrepotError) -> ErrorAnswer:
    """The error as Azure's routes answer what their gateway itself refuses: code and message, and why a limit did."""
    shape = shape_of(error)
    more = explained(error.refusal) if isinstance(error, LimitReached) and error.refusal is not None else None
    body = azure.write_error(shape.azure_code, error.message, more)
    return ErrorAnswer(shape.azure_status or shape.status, body)


def protocol_error(status: int, message: str, *, is_azure: bool) -> ErrorAnswer:
    """An error of HTTP itself, before or beside any route: a method, a head, a time limit."""
    if is_azure:
        return ErrorAnswer(status, azure.write_error(str(status), message))
    return ErrorAnswer(status, openai.write_error(message, kind=_REQUEST, param=None, code=f"http_{status}"))


def upstream_error(status: int, error: UpstreamError, *, is_azure: bool) -> ErrorAnswer:
    """An upstream's own error with its status, in OpenAI's form, which Azure uses for its models' errors as well."""
    message = error.message or f"The upstream answered with the status {status}."
    kind = error.type or (_SERVER if status >= 500 else _REQUEST)
    code = str(error.code) if error.code is not None else (str(status) if is_azure else None)
    beside = azure.filter_members(status, error, is_azure=is_azure)
    return ErrorAnswer(status, openai.write_error(message, kind=kind, param=error.param, code=code, beside=beside))
