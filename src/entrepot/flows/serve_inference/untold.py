"""Answers without usage, or with one that does not sum up, from upstreams that can be asked for it afterwards."""

from entrepot.core.log_records import Admitted
from entrepot.dialects.answers import in_tokens
from entrepot.dialects.operations import Operation
from entrepot.flows.serve_inference.attempts import metered
from entrepot.flows.serve_inference.ways import Way


def beside_untold(way: Way, operation: Operation, also: dict[str, int]) -> tuple[tuple[str, int], ...] | None:
    """What was used beside what the upstream is to be asked for (UsageUntold.also); None where it is not asked."""
    return tuple(also.items()) if _is_told_later(way, operation) else None


def told_of_attempt(way: Way, operation: Operation, admitted: Admitted, usage: bytes) -> tuple[dict[str, int], bytes]:
    """What an attempt is recorded to have used, and the usage object: none that it is better to ask for."""
    meters = metered(operation, admitted, usage, None)[0]
    return meters or {}, b"" if meters is None and _is_told_later(way, operation) else usage


def _is_told_later(way: Way, operation: Operation) -> bool:
    """An account is in tokens of text."""
    return way.keeps_account and operation.answers.book is in_tokens
