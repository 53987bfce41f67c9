"""Quota: what a deployment may use in a minute, as the limits its requests meet."""

from collections.abc import Iterator

from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.periods import MINUTE
from entrepot.core.tenancy import Deployment


def quota_of(deployment: Deployment) -> Iterator[ServedLimit]:
    """The limits of a deployment's quota; none where it has no tokens_per_minute."""
    if not deployment.tokens_per_minute:
        return
    name = f"{deployment.project}/{deployment.id}"
    tokens = Limit(f"quota/{name}/tokens", "tokens", "window", deployment.tokens_per_minute, MINUTE)
    yield ServedLimit(tokens, "tokens_per_minute", f"the deployment {name}", counts_batches=False)
