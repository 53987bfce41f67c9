"""Expected failures, each with a code that the edges map to a status and a body exactly once.

A bug is an assertion and never one of these.
"""

from typing import NamedTuple

NO_WORLD = "no world is declared; apply a world file with `entrepot apply`"


class EntrepotError(Exception):
    """A failure that somebody can act on; `message` says what to do.

    param: the request field or record at fault. retry_after_s: when trying again can help, else None.
    """

    code = "internal"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class Refusal(NamedTuple):
    """Why a limit does not let a request through. limit: the name it is declared by; whose: what for, in words.

    units: of the limit; window_ms: in which, 0 where none begins anew. used: held or spent; requested: units that were
    asked for, with the tokens they were estimated by. wait_ms: from the instant at until the same request would fit by
    itself, None where that is not known; can_ever_fit: whether it is no larger than the limit. queued_ms: how long it
    waited in a queue, None where it did not.

    Of a budget also: spent, as far as the books know; currency, of money, whose units are pico; cost, the estimate's
    parts as (meter, quantity, pico); resets_at, when it begins anew or grows, None for never.
    """

    limit: str
    whose: str
    measure: str
    units: int
    window_ms: int
    used: int
    requested: int
    prompt_tokens: int
    output_tokens: int
    wait_ms: int | None
    can_ever_fit: bool
    at: int
    spent: int | None = None
    currency: str = ""
    cost: tuple[tuple[str, int, int], ...] = ()
    resets_at: int | None = None
    queued_ms: int | None = None


class LimitReached(EntrepotError):
    """A limit does not let the request through; refusal says which, and when it would."""

    code = "limit_reached"

    def __init__(self, message: str, *, refusal: Refusal | None = None, param: str | None = None) -> None:
        wait_ms = None if refusal is None else refusal.wait_ms
        super().__init__(message, param=param, retry_after_s=None if wait_ms is None else wait_ms / 1000)
        self.refusal = refusal


class RateLimitExceeded(LimitReached):
    """As many requests or tokens as there may be in this window are held or spent."""

    code = "rate_limit_exceeded"


class CapacityExceeded(LimitReached):
    """Provisioned units are used to the full."""

    code = "capacity_exceeded"


class FlexUnavailable(LimitReached):
    """No upstream has capacity to spare, which requests at the tier flex are served from."""

    code = "flex_unavailable"


class BudgetExceeded(LimitReached):
    """What is left of a budget does not suffice for what the request may cost."""

    code = "budget_exceeded"


class RequestNeverFits(LimitReached):
    """The request is larger than a limit is when nothing of it is used."""

    code = "request_never_fits"


class NoPrice(EntrepotError):
    """What a request asks for has no price now, so no money can be held for it, and it has a budget."""

    code = "no_price"


class CountersUnavailable(EntrepotError):
    """What is used of limits cannot be asked now, and the installation is set to refuse then."""

    code = "counters_unavailable"


class InvalidRequest(EntrepotError):
    """The request cannot be understood: malformed JSON, a missing field, a wrong type."""

    code = "invalid_request"


class UnsupportedValue(EntrepotError):
    """The request is well formed but asks for something this model or route does not do."""

    code = "unsupported_value"


class ContextLengthExceeded(EntrepotError):
    """Prompt and answer together do not fit the model's context."""

    code = "context_length_exceeded"


class RequestTooLarge(EntrepotError):
    """The request body is larger than the gateway accepts."""

    code = "request_too_large"


class InvalidApiKey(EntrepotError):
    """No key, an unknown key or a token that does not verify."""

    code = "invalid_api_key"


class PermissionDenied(EntrepotError):
    """A known caller who may not do this; the message names the principal and the action."""

    code = "permission_denied"


class DeploymentNotFound(EntrepotError):
    """The caller's project has no deployment of this name."""

    code = "deployment_not_found"


class RouteNotFound(EntrepotError):
    """No such path or API version."""

    code = "route_not_found"


class OperationNotSupported(EntrepotError):
    """The deployment's model does not offer this operation."""

    code = "operation_not_supported"


class ModelRetired(EntrepotError):
    """The deployment's model has reached its retirement."""

    code = "model_retired"


class UpstreamFailed(EntrepotError):
    """The upstream answered something that cannot be relayed, or broke off."""

    code = "upstream_failed"


class UpstreamUnavailable(EntrepotError):
    """No upstream could be reached."""

    code = "upstream_unavailable"


class UpstreamBusy(EntrepotError):
    """Every upstream has as many requests as it takes at a time."""

    code = "upstream_busy"


class UpstreamTimeout(EntrepotError):
    """The upstream did not answer in time."""

    code = "upstream_timeout"


class UsageLogUnavailable(EntrepotError):
    """Usage cannot be made durable now, so nothing may be served."""

    code = "usage_log_unavailable"


class WorldRejected(EntrepotError):
    """The world file is wrong; every fault is named with its line."""

    code = "world_rejected"


class SnapshotRefused(EntrepotError):
    """The published snapshot is of an unknown schema or damaged; the old one keeps serving."""

    code = "snapshot_refused"


class PeriodNotClosable(EntrepotError):
    """Usage of the period may still arrive: the watermark has not passed its end."""

    code = "period_not_closable"


class LogDamaged(EntrepotError):
    """A segment of the usage log does not verify."""

    code = "log_damaged"


class BooksUnavailable(EntrepotError):
    """The books cannot be read or written now; the message says why and what to do."""

    code = "books_unavailable"


class NotFound(EntrepotError):
    """The named record does not exist."""

    code = "not_found"


class BadInput(EntrepotError):
    """A file or argument given to a command cannot be used."""

    code = "bad_input"


class StartFailed(EntrepotError):
    """A process cannot be started: another one has its place, or it ended before it was ready."""

    code = "start_failed"
