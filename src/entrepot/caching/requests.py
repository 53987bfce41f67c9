"""Which requests an earlier answer can serve, and what makes two of them the same."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from entrepot.core.catalog import Operation
from entrepot.core.snapshot import ServedDeployment, ServedProject
from entrepot.core.tenancy import CachedRequests

Fields = Mapping[str, msgspec.Raw]

# What these answer is the same whenever they are asked. An operation that leaves something behind is not among them.
_SAME_ANSWER: frozenset[Operation] = frozenset({"embeddings"})
_OPERATIONS: frozenset[Operation] = frozenset({"chat", "completions", "embeddings"})

# Who asks, what for, and how it is to be handled: the answer does not depend on it. model names the deployment.
_UNDECIDING = frozenset(
    {
        *("model", "user", "safety_identifier", "metadata", "service_tier"),
        *("prompt_cache_key", "prompt_cache_retention", "store"),
    }
)


class Wishes(NamedTuple):
    """What a client says in Cache-Control: whether it takes a kept answer, and whether its answer may be kept."""

    takes: bool
    leaves: bool


def wishes_of(cache_control: bytes) -> Wishes:
    """no-cache: ask anew; no-store: ask anew, and keep nothing. Other directives change nothing."""
    if not cache_control:
        return Wishes(takes=True, leaves=True)
    directives = {directive.strip().lower() for directive in cache_control.split(b",")}
    leaves = b"no-store" not in directives
    return Wishes(takes=leaves and b"no-cache" not in directives, leaves=leaves)


def is_cached(operation: Operation, fields: Fields, requests: CachedRequests) -> bool:
    """Whether the request is one that an earlier answer may serve."""
    if operation not in _OPERATIONS:
        return False
    if "store" in fields and bytes(fields["store"]) == b"true":  # It is to be found at the upstream afterwards.
        return False
    return requests == "all" or operation in _SAME_ANSWER or "seed" in fields or _is_zero(fields.get("temperature"))


def request_key(project: ServedProject, deployment: ServedDeployment, operation: Operation, fields: Fields) -> str:
    """The same for two requests only if one answer serves both: 64 hexadecimal digits.

    Fields count as they were written, whatever their order.
    """
    parts = [project.customer, project.id, deployment.name, deployment.model, deployment.revision, operation]
    texts = [part.encode() for part in parts]
    for name in sorted(fields):
        if name not in _UNDECIDING:
            texts += (name.encode(), bytes(fields[name]))
    # Each with its length, so that no two rows of parts look alike.
    return hashlib.sha256(b"".join([b"%d:%b" % (len(text), text) for text in texts])).hexdigest()


def _is_zero(number: msgspec.Raw | None) -> bool:
    try:
        return number is not None and float(bytes(number)) == 0
    except ValueError:
        return False
