"""What answers say of limits and tiers: header lines in each dialect's way, and the object that explains a refusal."""

from collections.abc import Sequence
from typing import Final

from entrepot.core.capacity import Standing
from entrepot.core.errors import Refusal
from entrepot.core.money import format_pico
from entrepot.core.periods import MINUTE, SECOND, Instant, format_instant
from entrepot.edge import shortcuts

_rate_limits_of: Final = shortcuts.rate_limits_of  # Bound once; see decisions/0009.
_MS = SECOND // 1000


def limit_fields(standings: Sequence[Standing], *, is_azure: bool) -> str:
    """The x-ratelimit- lines; of several limits of one measure, those of the one of which least is left.

    Of provisioned throughput how busy it is, by Azure's name in both dialects.
    """
    plain = _rate_limits_of(standings, is_azure)
    return _limit_fields(standings, is_azure=is_azure) if plain is None else plain


def _limit_fields(standings: Sequence[Standing], *, is_azure: bool) -> str:
    tightest: dict[str, Standing] = {}
    for standing in standings:
        known = tightest.get(standing[0])
        if known is None or standing[2] < known[2]:
            tightest[standing[0]] = standing
    lines = ""
    for measure, units, remaining, reset_us in tightest.values():
        if measure == "load":
            thousandths = 1000 * (units - remaining) // max(1, units)
            lines += f"azure-openai-deployment-utilization: {thousandths // 10}.{thousandths % 10}%\r\n"
            continue
        reset = str(-(-reset_us // SECOND)) if is_azure else _duration(reset_us)
        lines += (
            f"x-ratelimit-limit-{measure}: {units}\r\n"
            f"x-ratelimit-remaining-{measure}: {remaining}\r\n"
            f"x-ratelimit-reset-{measure}: {reset}\r\n"
        )
    return lines


def tier_fields(tier: str, why: str) -> str:
    """The tier of service that is billed, and why that is not the one that was chosen, or "" where it is."""
    reason = f"x-entrepot-service-tier-reason: {why}\r\n" if why else ""
    return f"x-entrepot-service-tier: {tier}\r\n{reason}"


def retry_fields(refusal: Refusal) -> str:
    """Whether, and when, trying again can help; clients of OpenAI's go by it."""
    if refusal.wait_ms is None:
        return "x-should-retry: false\r\n"
    seconds = -(-refusal.wait_ms // 1000)
    return f"Retry-After: {seconds}\r\nretry-after-ms: {refusal.wait_ms}\r\nx-should-retry: true\r\n"


def explained(refusal: Refusal) -> dict[str, object]:
    """The refusal as a body has it."""
    wait_ms = refusal.wait_ms
    told: dict[str, object] = {
        "limit": refusal.limit,
        "of": refusal.whose,
        "measure": refusal.measure,
        "units": refusal.units,
        "window_ms": refusal.window_ms or None,
        "used": refusal.used,
        "requested": refusal.requested,
        "estimate": {"prompt_tokens": refusal.prompt_tokens, "output_tokens": refusal.output_tokens},
        "can_ever_fit": refusal.can_ever_fit,
        "retry_after_ms": wait_ms,
        "fits_at": None if wait_ms is None else format_instant(refusal.at + wait_ms * _MS),
    }
    if refusal.queued_ms is not None:
        told["queued_ms"] = refusal.queued_ms
    return told if refusal.spent is None else told | _of_budget(refusal, refusal.spent)


def _of_budget(refusal: Refusal, spent: int) -> dict[str, object]:
    """What is said of a budget beside; money in decimal text."""

    def told(units: int) -> object:
        return format_pico(units, 2) if refusal.currency else units

    return {
        "units": told(refusal.units),
        "used": told(refusal.used),
        "spent": told(spent),
        "held": told(refusal.used - spent),
        "requested": told(refusal.requested),
        "currency": refusal.currency or None,
        "cost": [{"meter": meter, "quantity": count, "at_most": told(pico)} for meter, count, pico in refusal.cost],
        "resets_at": None if refusal.resets_at is None else format_instant(refusal.resets_at),
    }


def _duration(us: Instant) -> str:
    """As OpenAI writes a duration: 17ms, 5.25s, 6m0s."""
    ms = -(-us // _MS)
    if ms < 1000:
        return f"{ms}ms"
    if us < MINUTE:
        return f"{ms // 1000}.{ms % 1000:03}".rstrip("0").rstrip(".") + "s"
    seconds = -(-us // SECOND)
    hours, minutes, seconds = seconds // 3600, seconds % 3600 // 60, seconds % 60
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s"
