"""A request that is not admitted -> the error that says why, and when the same request would be."""

from entrepot.admission.budget_refusals import budget_exceeded
from entrepot.admission.desk import Short
from entrepot.core.capacity import Limit
from entrepot.core.errors import (
    CapacityExceeded,
    CountersUnavailable,
    EntrepotError,
    FlexUnavailable,
    RateLimitExceeded,
    Refusal,
    RequestNeverFits,
)
from entrepot.core.estimate import Estimate
from entrepot.core.periods import Instant

_MS = 1000
_SPARE_SOON_MS = 5000  # Nobody knows when; most answers are complete by then.


def error_of(short: Short, estimate: Estimate, at: Instant, queued_ms: int | None = None) -> EntrepotError:
    """The error. queued_ms: how long it has waited in a queue, None where it has not."""
    need = short.need
    served, units = need.met.served, need.units
    if short.shortage is None and not short.never:
        return CountersUnavailable(
            f"How much is used of {served.name} of {served.whose} cannot be asked now; try again.", retry_after_s=1
        )
    if need.budget is not None:
        return budget_exceeded(need.budget, units, estimate, short.shortage, at)
    limit = served.limit
    used, wait_us = (0, None) if short.shortage is None else (short.shortage.used, short.shortage.wait_us)
    refusal = Refusal(
        limit=served.name,
        whose=served.whose,
        measure=limit.measure,
        units=limit.units,
        window_ms=limit.window // _MS,
        used=used,
        requested=units,
        prompt_tokens=estimate.prompt_tokens,
        output_tokens=units - estimate.prompt_tokens if limit.measure == "tokens" else estimate.output_tokens,
        wait_ms=None if wait_us is None else -(-wait_us // _MS),
        can_ever_fit=not short.never,
        at=at,
        queued_ms=queued_ms,
    )
    of = f"{served.name} of {served.whose}"
    needs = f"this request needs {_said(units, limit)}"
    if limit.measure == "tokens":
        needs += f" ({refusal.prompt_tokens} of its prompt and up to {refusal.output_tokens} of its answer)"
    if short.never:
        return RequestNeverFits(
            f"This request can never be served: {needs}, and {of} is {limit.units}; ask for a shorter answer "
            "or send less.",
            refusal=refusal,
        )
    left = f"{used} of {_said(limit.units, limit)} are used or held"
    again = f"try again in {-(-(refusal.wait_ms or 0) // _MS)} s"
    if queued_ms is not None:
        again += f"; it has waited {queued_ms} ms already"
    if limit.refill == "bucket":
        return CapacityExceeded(f"{of} are used to the full; {again}.", refusal=refusal)
    window = limit.window // 1_000_000
    return RateLimitExceeded(
        f"{of} is reached: {left} in this window of {window} s, and {needs}; {again}.",
        refusal=refusal,
    )


def no_spare(model: str, room: int, in_flight: int, estimate: Estimate, at: Instant) -> FlexUnavailable:
    """The error of a request at flex. room: requests at a time up to which there is capacity to spare."""
    refusal = Refusal(
        limit="flex",
        whose=f"the upstreams of the model {model}",
        measure="requests",
        units=room,
        window_ms=0,
        used=in_flight,
        requested=1,
        prompt_tokens=estimate.prompt_tokens,
        output_tokens=estimate.output_tokens,
        wait_ms=_SPARE_SOON_MS,
        can_ever_fit=True,
        at=at,
    )
    return FlexUnavailable(
        f"There is no spare capacity for the service tier flex now: {in_flight} requests are at {refusal.whose}, and "
        f"flex is served up to {room}. Nothing is charged; try again later, or ask for the service tier default.",
        refusal=refusal,
    )


def _said(units: int, limit: Limit) -> str:
    noun = limit.measure
    return f"{units} {noun[:-1] if units == 1 and noun.endswith('s') else noun}"
